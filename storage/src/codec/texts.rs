//! Texts: UTF-32 of fixed length (numpy's `U`) to UTF-8, and chunks of texts of any length (`vlen-utf8`, `json2`).

use serde_json::Value;

use super::damaged;
use crate::Result;
use crate::array::ByteOrder;

/// Texts of `characters` UTF-32 characters each to UTF-8 of four times as many bytes, padded with NULs.
pub(super) fn undo_utf32(input: &[u8], output: &mut [u8], characters: usize, order: ByteOrder) -> Result<()> {
    let length = characters * 4;
    if length == 0 || !input.len().is_multiple_of(length) || output.len() != input.len() {
        return Err(damaged(format!("UTF-32: {} bytes are not whole texts of {characters} characters", input.len())));
    }
    for (text, out) in input.chunks_exact(length).zip(output.chunks_exact_mut(length)) {
        out.fill(0);
        let mut at = 0;
        for unit in text.as_chunks::<4>().0 {
            let code = match order {
                ByteOrder::Little => u32::from_le_bytes(*unit),
                ByteOrder::Big => u32::from_be_bytes(*unit),
            };
            if code == 0 {
                break;
            }
            let character = char::from_u32(code).ok_or_else(|| damaged(format!("UTF-32: {code:#x} is no character")))?;
            if let Some(room) = out.get_mut(at..at + character.len_utf8()) {
                character.encode_utf8(room);
            }
            at += character.len_utf8();
        }
    }
    Ok(())
}

/// The texts of a `vlen-utf8` chunk: their number, then each with its length in front (32 bits, little-endian).
pub(super) fn vlen_utf8(bytes: &[u8], cells: usize) -> Result<Vec<Option<String>>> {
    let number = |at: usize| bytes.get(at..).and_then(|b| b.first_chunk::<4>()).map(|b| u32::from_le_bytes(*b) as usize);
    let short = |at: usize| damaged(format!("vlen-utf8: {} bytes end in the middle of text {at} of {cells}", bytes.len()));
    match number(0) {
        Some(count) if count == cells => {}
        count => return Err(damaged(format!("vlen-utf8: {cells} texts were expected, found {count:?}"))),
    }
    // Each takes four bytes at least.
    if cells > bytes.len() / 4 {
        return Err(short(bytes.len() / 4));
    }
    let (mut texts, mut at) = (Vec::with_capacity(cells), 4usize);
    for i in 0..cells {
        let length = number(at).ok_or_else(|| short(i))?;
        at += 4;
        let text = at.checked_add(length).and_then(|end| bytes.get(at..end)).ok_or_else(|| short(i))?;
        texts.push(Some(String::from_utf8_lossy(text).into_owned()));
        at += length;
    }
    Ok(texts)
}

/// The texts of a `json2` chunk: its cells, then numpy's type and the shape. Cells that are no texts are given as JSON.
pub(super) fn json_texts(bytes: &[u8], cells: usize) -> Result<Vec<Option<String>>> {
    let list: Vec<Value> = serde_json::from_slice(bytes).map_err(|e| damaged(format!("json2: not a list in JSON: {e}")))?;
    if list.len() != cells.saturating_add(2) {
        return Err(damaged(format!("json2: {cells} cells, a type and a shape were expected, found {} parts", list.len())));
    }
    let text = |value: Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    Ok(list.into_iter().take(cells).map(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf32_becomes_utf8() {
        let input: Vec<u8> = "aé€😀".chars().chain("x\0\0\0".chars()).flat_map(|c| u32::from(c).to_be_bytes()).collect();
        let mut output = vec![9; input.len()];
        undo_utf32(&input, &mut output, 4, ByteOrder::Big).unwrap();
        assert_eq!(output[..10], *"aé€😀".as_bytes());
        assert_eq!(output[10..17], *b"\0\0\0\0\0\0x");
        assert!(undo_utf32(&input, &mut output, 4, ByteOrder::Little).is_err());
        assert!(undo_utf32(&input, &mut output, 3, ByteOrder::Big).is_err());
    }

    #[test]
    fn texts_of_any_length() {
        let bytes = [&2u32.to_le_bytes()[..], &2u32.to_le_bytes(), b"ab", &0u32.to_le_bytes()].concat();
        assert_eq!(vlen_utf8(&bytes, 2).unwrap(), [Some("ab".into()), Some(String::new())]);
        for bad in [&bytes[..bytes.len() - 1], &bytes[..7], &[]] {
            assert!(vlen_utf8(bad, 2).is_err());
        }
        assert!(vlen_utf8(&bytes, 3).is_err());
        assert!(vlen_utf8(&u32::MAX.to_le_bytes(), u32::MAX as usize).is_err());
        let texts = json_texts(br#"["a", null, {"k": 1}, "|O", [3]]"#, 3).unwrap();
        assert_eq!(texts, [Some("a".into()), None, Some(r#"{"k":1}"#.into())]);
        assert!(json_texts(b"[1, 2]", 1).is_err() && json_texts(b"{", 1).is_err());
    }
}
