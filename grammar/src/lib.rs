//! Room: grammar.
