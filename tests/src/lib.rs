//! Black-box tests of the whole stand in `black_box/`; their data in `corpus/`, each beside the script that made it;
//! questions with their answers in `slt/`; benchmarks in `bench/`. This library is empty.
