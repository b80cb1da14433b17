//! The order of versions against a table and against dpkg itself.

use std::cmp::Ordering;
use std::process::Command;

use super::Version;

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

#[test]
fn the_order_is_that_of_the_manual_page() {
    let ascending = [
        "0~~",
        "0~~a",
        "0~",
        "0",
        "0a",
        "0+",
        "1.0~beta1~svn1245",
        "1.0~beta1",
        "1.0",
        "1.0-1",
        "1.0-1+b1",
        "1.0-1+b2",
        "1.0-1+b10",
        "1.0-1+deb12u1",
        "1.0-1.1",
        "1.0-2~bpo12+1",
        "1.0-2",
        "1.0a",
        "1.0+dfsg",
        "1.0.1",
        "1.2",
        "1.10",
        "9",
        "10",
        "99999999999999999999998",
        "99999999999999999999999",
        "1:0.1",
        "1:1-1:1-1",
        "2:0",
    ];
    for (i, a) in ascending.iter().enumerate() {
        for (j, b) in ascending.iter().enumerate() {
            assert_eq!(version(a).cmp(&version(b)), i.cmp(&j), "{a} against {b}");
        }
    }
}

#[test]
fn different_texts_can_be_equal() {
    for (a, b) in [("1.0", "1.00"), ("1.0", "1.0-0"), ("0:1", "1"), ("1.0-1", "1.0-01"), ("a", "a0")] {
        assert_eq!(version(a), version(b), "{a} against {b}");
    }
}

#[test]
fn what_dpkg_refuses_is_refused() {
    for text in [
        "",
        ":1",
        "1:",
        "a:1",
        "1-",
        "1 2",
        "1_2",
        "1:2_3",
        "3000000000:1",
        "-1:1",
        "+1:1",
        "1-2:3",
        "ü",
        "-1",
    ] {
        assert!(text.parse::<Version>().is_err(), "{text}");
    }
}

/// The same pairs on every run: a test that fails must fail again.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn version(&mut self) -> String {
        let mut text = String::new();
        if self.below(5) == 0 {
            text.push_str(["0:", "1:", "10:"][self.below(3)]);
        }
        text.push(char::from(b'0' + u8::try_from(self.below(3)).unwrap()));
        self.extend(&mut text, b"0011289az~~+.-Z");
        if self.below(2) == 0 {
            text.push('-');
            text.push(char::from(b"01a~"[self.below(4)]));
            self.extend(&mut text, b"0019b~+.");
        }
        text
    }

    fn extend(&mut self, text: &mut String, alphabet: &[u8]) {
        for _ in 0..self.below(6) {
            text.push(char::from(alphabet[self.below(alphabet.len())]));
        }
    }
}

fn dpkg(a: &str, operator: &str, b: &str) -> bool {
    let status = Command::new("dpkg").args(["--compare-versions", a, operator, b]).status();
    let status = status.expect("this test compares with the real dpkg: install the package `dpkg`");
    match status.code() {
        Some(0) => true,
        Some(1) => false,
        other => panic!("dpkg --compare-versions {a} {operator} {b}: {other:?}"),
    }
}

#[test]
fn generated_pairs_are_ordered_as_dpkg_orders_them() {
    let mut random = Xorshift(0x5eed_cafe_f00d_1234);
    let mut seen = [0; 3];
    for _ in 0..600 {
        let a = random.version();
        // A near relative often: unrelated versions differ in their first byte and test little.
        let b = if random.below(3) == 0 { random.version() } else { near(&mut random, &a) };
        let (Ok(x), Ok(y)) = (a.parse::<Version>(), b.parse::<Version>()) else { continue };
        let expected = match () {
            () if dpkg(&a, "lt", &b) => Ordering::Less,
            () if dpkg(&a, "eq", &b) => Ordering::Equal,
            () => Ordering::Greater,
        };
        assert_eq!(x.cmp(&y), expected, "{a} against {b}");
        assert_eq!(y.cmp(&x), expected.reverse(), "{b} against {a}");
        seen[usize::try_from(expected as i8 + 1).unwrap()] += 1;
    }
    assert!(seen.iter().all(|count| *count > 20), "the pairs are one-sided: {seen:?}");
}

fn near(random: &mut Xorshift, text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = 1 + random.below(bytes.len());
    match random.below(3) {
        0 if at < bytes.len() => drop(bytes.remove(at)),
        1 => bytes.insert(at, b'0'),
        _ => bytes.insert(at, b"~+.a19"[random.below(6)]),
    }
    String::from_utf8(bytes).unwrap()
}
