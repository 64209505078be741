//! Templates of kerchunk references: `{{name}}`, `{{name(c='text')}}`, and arithmetic on names (`{{(i + 1) * 1000}}`).

use std::collections::BTreeMap;

use serde_json::Value;

/// Named texts that others are filled with.
#[derive(Debug, Clone, Default)]
pub(super) struct Templates {
    texts: BTreeMap<String, String>,
}

/// Deepest nesting of expressions and templates.
const DEPTH: usize = 32;

/// What stands for a name.
#[derive(Debug, Clone, PartialEq)]
enum Known {
    Number(i64),
    Text(String),
}

impl Known {
    fn text(self) -> String {
        match self {
            Known::Number(n) => n.to_string(),
            Known::Text(text) => text,
        }
    }
}

type Names = BTreeMap<String, Known>;

/// A key, a file, and the range of it.
pub(super) type Generated = (String, String, Option<(u64, u64)>);

impl Templates {
    /// The `templates` of a document.
    pub(super) fn new(value: Option<&Value>) -> Result<Templates, String> {
        let mut texts = BTreeMap::new();
        for (name, text) in value.and_then(Value::as_object).into_iter().flatten() {
            texts.insert(name.clone(), text.as_str().ok_or_else(|| format!("template {name} is no text"))?.to_owned());
        }
        Ok(Templates { texts })
    }

    /// A text with its templates filled in.
    pub(super) fn fill(&self, text: &str) -> Result<String, String> {
        self.fill_with(text, &Names::new(), 0)
    }

    fn fill_with(&self, text: &str, names: &Names, depth: usize) -> Result<String, String> {
        if depth > DEPTH {
            return Err(format!("templates in templates in {text:?}"));
        }
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, after) = after.split_once("}}").ok_or_else(|| format!("a template without its end in {text:?}"))?;
            out.push_str(before);
            let mut parser = Parser { templates: self, names, rest: inside.trim(), depth };
            let known = parser.sum(0)?;
            if !parser.rest.is_empty() {
                return Err(format!("template {inside:?}: {:?} was not expected", parser.rest));
            }
            out.push_str(&known.text());
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// The references of one entry of `gen`; refused above `most`.
    pub(super) fn generate(&self, generator: &Value, most: usize) -> Result<Vec<Generated>, String> {
        let text = |key: &str| generator.get(key).and_then(Value::as_str);
        let (key, url) = (text("key").ok_or("no key")?, text("url").ok_or("no url")?);
        let range = match (text("offset"), text("length")) {
            (Some(offset), Some(length)) => Some((offset, length)),
            (None, None) => None,
            _ => return Err("offset or length alone".into()),
        };
        let mut all = vec![Names::new()];
        for (name, values) in generator.get("dimensions").and_then(Value::as_object).into_iter().flatten() {
            let values = dimension(values, most).ok_or_else(|| format!("dimension {name} is {values}"))?;
            if all.len().saturating_mul(values.len()) > most {
                return Err(format!("more than {most} references"));
            }
            let with = |names: &Names| {
                values
                    .iter()
                    .map(|v| names.iter().map(|(k, v)| (k.clone(), v.clone())).chain([(name.clone(), v.clone())]).collect())
                    .collect::<Vec<Names>>()
            };
            all = all.iter().flat_map(with).collect();
        }
        let one = |names: &Names| {
            let number = |text: &str| {
                let filled = self.fill_with(text, names, 0)?;
                filled.trim().parse::<u64>().map_err(|_| format!("{filled:?} is no place in a file"))
            };
            let range = range.map(|(offset, length)| Ok::<_, String>((number(offset)?, number(length)?))).transpose()?;
            Ok((self.fill_with(key, names, 0)?, self.fill_with(url, names, 0)?, range))
        };
        all.iter().map(one).collect()
    }
}

/// The values of a dimension: a list, or `{start, stop, step}`.
fn dimension(values: &Value, most: usize) -> Option<Vec<Known>> {
    if let Some(list) = values.as_array() {
        return list.iter().map(|v| v.as_i64().map(Known::Number).or_else(|| v.as_str().map(|s| Known::Text(s.into())))).collect();
    }
    let number = |key: &str, or: Option<i64>| values.get(key).map_or(or, Value::as_i64);
    let (start, stop, step) = (number("start", Some(0))?, number("stop", None)?, number("step", Some(1))?);
    let mut found = Vec::new();
    let mut at = start;
    while step != 0 && ((step > 0 && at < stop) || (step < 0 && at > stop)) {
        if found.len() > most {
            return None;
        }
        found.push(Known::Number(at));
        at = at.checked_add(step)?;
    }
    (step != 0).then_some(found)
}

/// Reads one expression.
struct Parser<'a> {
    templates: &'a Templates,
    names: &'a Names,
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn take(&mut self, symbol: &str) -> bool {
        match self.rest.strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn sum(&mut self, depth: usize) -> Result<Known, String> {
        let mut left = self.product(depth)?;
        loop {
            left = if self.take("+") {
                match (left, self.product(depth)?) {
                    (Known::Text(a), Known::Text(b)) => Known::Text(a + &b),
                    (a, b) => numbers(a, b, i64::checked_add)?,
                }
            } else if self.take("-") {
                numbers(left, self.product(depth)?, i64::checked_sub)?
            } else {
                return Ok(left);
            }
        }
    }

    fn product(&mut self, depth: usize) -> Result<Known, String> {
        let mut left = self.atom(depth)?;
        loop {
            left = if self.take("*") {
                numbers(left, self.atom(depth)?, i64::checked_mul)?
            } else if self.take("//") {
                numbers(left, self.atom(depth)?, i64::checked_div_euclid)?
            } else if self.take("%") {
                numbers(left, self.atom(depth)?, i64::checked_rem_euclid)?
            } else {
                return Ok(left);
            }
        }
    }

    fn atom(&mut self, depth: usize) -> Result<Known, String> {
        if depth > DEPTH {
            return Err("an expression of too many parts".into());
        }
        if self.take("(") {
            let inner = self.sum(depth + 1)?;
            return if self.take(")") { Ok(inner) } else { Err("a bracket without its end".into()) };
        }
        if self.take("-") {
            return numbers(Known::Number(0), self.atom(depth + 1)?, i64::checked_sub);
        }
        for quote in ['\'', '"'] {
            if let Some(rest) = self.rest.strip_prefix(quote) {
                let (text, rest) = rest.split_once(quote).ok_or("a text without its end")?;
                self.rest = rest.trim_start();
                return Ok(Known::Text(text.to_owned()));
            }
        }
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        if word.is_empty() {
            return Err(format!("{:?} was not expected", self.rest));
        }
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return word.parse().map(Known::Number).map_err(|_| format!("{word} is no number"));
        }
        if let Some(known) = self.names.get(word) {
            return Ok(known.clone());
        }
        let template = self.templates.texts.get(word).ok_or_else(|| format!("no template {word}"))?;
        let mut names = self.names.clone();
        if self.take("(") {
            while !self.take(")") {
                let (name, rest) = self.rest.split_once('=').ok_or("an argument without a name")?;
                self.rest = rest.trim_start();
                let value = self.sum(depth + 1)?;
                names.insert(name.trim().to_owned(), value);
                self.take(",");
                if self.rest.is_empty() {
                    return Err("a bracket without its end".into());
                }
            }
        }
        self.templates.fill_with(template, &names, self.depth + 1).map(Known::Text)
    }
}

fn numbers(a: Known, b: Known, operation: fn(i64, i64) -> Option<i64>) -> Result<Known, String> {
    let number = |known: Known| match known {
        Known::Number(n) => Ok(n),
        Known::Text(text) => text.trim().parse::<i64>().map_err(|_| format!("{text:?} is no number")),
    };
    operation(number(a)?, number(b)?).map(Known::Number).ok_or_else(|| "a number out of range".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_are_filled() {
        let templates = Templates::new(Some(&json!({"u": "server.domain/path", "f": "{{c}}", "g": "{{u}}/{{f(c='x')}}"}))).unwrap();
        for (text, want) in [
            ("plain", "plain"),
            ("http://{{u}}_a", "http://server.domain/path_a"),
            ("{{f(c='text')}}!", "text!"),
            ("{{ g }}", "server.domain/path/x"),
        ] {
            assert_eq!(templates.fill(text).as_deref(), Ok(want));
        }
        for bad in
            ["{{", "{{nobody}}", "{{u + }}", "{{1 + u}}", "{{(1}}", "{{f(c='x'}}", "{{9223372036854775807 + 1}}", "{{1 // 0}}", "{{u u}}"]
        {
            assert!(templates.fill(bad).is_err(), "{bad}");
        }
        let endless = Templates::new(Some(&json!({"a": "{{a}}"}))).unwrap();
        assert!(endless.fill("{{a}}").is_err());
        assert!(templates.fill(&format!("{{{{{}1}}}}", "(".repeat(100_000))).is_err());
    }

    #[test]
    fn generators_run_over_their_dimensions() {
        // The example of kerchunk's specification.
        let templates = Templates::new(Some(&json!({"u": "server"}))).unwrap();
        let generator = json!({"key": "gen_key{{i}}", "url": "http://{{u}}_{{i}}", "offset": "{{(i + 1) * 1000}}", "length": "1000",
            "dimensions": {"i": {"stop": 5}}});
        let all = templates.generate(&generator, 100).unwrap();
        assert_eq!(all.len(), 5);
        assert_eq!(all[4], ("gen_key4".into(), "http://server_4".into(), Some((5000, 1000))));
        let two = json!({"key": "k/{{j}}.{{i}}", "url": "f", "dimensions": {"i": [0, 2], "j": {"start": 4, "stop": 0, "step": -2}}});
        let keys: Vec<_> = templates.generate(&two, 100).unwrap().into_iter().map(|g| g.0).collect();
        assert_eq!(keys, ["k/4.0", "k/2.0", "k/4.2", "k/2.2"]);
        assert!(templates.generate(&json!({"key": "k", "url": "f", "dimensions": {"i": {"stop": 1e18 as u64}}}), 100).is_err());
        assert!(templates.generate(&json!({"key": "k", "url": "f", "offset": "1"}), 100).is_err());
        assert!(templates.generate(&json!({"key": "k", "url": "f", "dimensions": {"i": {"stop": 5, "step": 0}}}), 100).is_err());
    }
}
