//! The lines that a script or container in virtual time exchanges with us: orders one way, events both ways. Text in, text
//! out; it reads and writes nothing itself.

use serde_json::{Map, Value, json};

/// Which names the fields of an event have. Both are understood; what is sent has those of the other side's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Scripts on a socket: `time_us`, `type`, `src`, `dst`, `size_bytes`.
    Socket,
    /// Containers on standard input and output: `timestamp_us`, `event_type`, `source`, `destination`.
    Pipe,
}

/// An event that a node hears.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heard {
    pub(super) time: u64,
    pub(super) kind: String,
    pub(super) src: String,
    pub(super) dst: String,
    pub(super) payload: Value,
    pub(super) size: u64,
}

/// An event that a node wants to send.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spoken {
    pub(super) time: u64,
    pub(super) kind: String,
    pub(super) dst: Option<String>,
    pub(super) payload: Value,
    pub(super) size: Option<u64>,
}

impl Dialect {
    /// The first order: who the node is, and its settings.
    pub(super) fn init(self, id: &str, seed: u64, config: &Map<String, Value>) -> String {
        let settings = json!({ "seed": seed, "node_id": id, "config": config });
        match self {
            Self::Socket => format!("INIT {id} {settings}\n"),
            Self::Pipe => format!("INIT {settings}\n"),
        }
    }

    /// The order to go on to a time, with what the node hears on the way.
    pub(super) fn advance(self, until: u64, heard: &[Heard]) -> String {
        let events: Vec<Value> = heard.iter().map(|event| self.event(event)).collect();
        format!("ADVANCE {until}\n{}\n", Value::from(events))
    }

    fn event(self, event: &Heard) -> Value {
        let Heard { time, kind, src, dst, payload, size } = event;
        match self {
            Self::Socket => json!({
                "time_us": time, "type": kind, "src": src, "dst": dst, "payload": payload, "size_bytes": size,
            }),
            Self::Pipe => json!({
                "timestamp_us": time, "event_type": kind, "source": src, "destination": dst, "payload": payload,
            }),
        }
    }
}

/// The events of a line, or what is wrong with it.
pub(super) fn events(line: &str) -> Result<Vec<Spoken>, String> {
    let wrong = |what: &str| format!("{what}: `{}`", shorten(line));
    let list: Vec<Map<String, Value>> =
        serde_json::from_str(line).map_err(|_| wrong("expected a JSON list of events, it said"))?;
    let read = |fields: Map<String, Value>| event(fields).map_err(|what| wrong(&format!("{what}, it said")));
    list.into_iter().map(read).collect()
}

fn event(mut fields: Map<String, Value>) -> Result<Spoken, String> {
    let mut take = |names: [&str; 2]| names.iter().find_map(|name| fields.remove(*name));
    let time = take(["time_us", "timestamp_us"]);
    let time = time.as_ref().and_then(Value::as_u64).ok_or("an event needs `time_us`, a whole number")?;
    let Some(Value::String(kind)) = take(["type", "event_type"]) else {
        return Err("an event needs `type`, a text".to_owned());
    };
    let dst = match take(["dst", "destination"]) {
        None | Some(Value::Null) => None,
        Some(Value::String(dst)) => Some(dst),
        Some(_) => return Err("`dst` of an event is the id of a node or null".to_owned()),
    };
    let payload = fields.remove("payload").unwrap_or_default();
    let size = match fields.remove("size_bytes") {
        None | Some(Value::Null) => None,
        Some(size) => Some(size.as_u64().ok_or("`size_bytes` of an event is a whole number")?),
    };
    Ok(Spoken { time, kind, dst, payload, size: size.filter(|size| *size > 0) })
}

/// The beginning of what was said, on one line.
pub(super) fn shorten(line: &str) -> String {
    const MOST: usize = 120;
    let shown: String =
        line.chars().take(MOST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if line.chars().nth(MOST).is_some() { shown + "…" } else { shown }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{Dialect, Heard, events, shorten};

    #[test]
    fn orders_have_the_names_of_their_kind() {
        let config = Map::from_iter([("unit".to_owned(), json!("C"))]);
        assert_eq!(
            Dialect::Socket.init("s1", 42, &config),
            "INIT s1 {\"config\":{\"unit\":\"C\"},\"node_id\":\"s1\",\"seed\":42}\n"
        );
        assert!(Dialect::Pipe.init("s1", 42, &config).starts_with("INIT {"));
        let heard = Heard {
            time: 7,
            kind: "TRANSMIT".into(),
            src: "a".into(),
            dst: "b".into(),
            payload: json!([1]),
            size: 3,
        };
        let lines = Dialect::Socket.advance(1_000, std::slice::from_ref(&heard));
        let (order, list) = lines.split_once('\n').unwrap();
        assert_eq!(order, "ADVANCE 1000");
        let want = json!([{"time_us": 7, "type": "TRANSMIT", "src": "a", "dst": "b", "payload": [1], "size_bytes": 3}]);
        assert_eq!(serde_json::from_str::<Value>(list).unwrap(), want);
        let want = json!({"timestamp_us": 7, "event_type": "TRANSMIT", "source": "a", "destination": "b", "payload": [1]});
        assert_eq!(Dialect::Pipe.event(&heard), want);
    }

    #[test]
    fn both_vocabularies_are_understood() {
        let socket =
            r#"[{"time_us": 5, "type": "T", "src": "s", "dst": "g", "payload": {"v": 1}, "size_bytes": 64}]"#;
        let pipe = r#"[{"timestamp_us": 5, "event_type": "T", "source": "s", "destination": "g", "payload": {"v": 1}}]"#;
        let (socket, pipe) = (events(socket).unwrap(), events(pipe).unwrap());
        assert_eq!((socket[0].time, socket[0].dst.as_deref(), socket[0].size), (5, Some("g"), Some(64)));
        assert_eq!((pipe[0].time, pipe[0].dst.as_deref(), pipe[0].size), (5, Some("g"), None));
        assert_eq!((&socket[0].kind, &socket[0].payload), (&pipe[0].kind, &pipe[0].payload));
        let bare = events(r#"[{"time_us": 5, "type": "T", "dst": null}]"#).unwrap();
        assert_eq!((bare[0].dst.as_deref(), &bare[0].payload), (None, &Value::Null));
        assert!(events("[]").unwrap().is_empty());
    }

    #[test]
    fn nonsense_is_shown_and_named() {
        for (line, part) in [
            ("hello", "expected a JSON list of events, it said: `hello`"),
            ("{}", "expected a JSON list of events"),
            ("[1]", "expected a JSON list of events"),
            (r#"[{"type": "T"}]"#, "an event needs `time_us`, a whole number"),
            (r#"[{"time_us": -1, "type": "T"}]"#, "an event needs `time_us`, a whole number"),
            (r#"[{"time_us": 1.5, "type": "T"}]"#, "an event needs `time_us`, a whole number"),
            (r#"[{"time_us": 1}]"#, "an event needs `type`, a text"),
            (r#"[{"time_us": 1, "type": "T", "dst": 3}]"#, "`dst` of an event is the id of a node or null"),
            (
                r#"[{"time_us": 1, "type": "T", "size_bytes": "x"}]"#,
                "`size_bytes` of an event is a whole number",
            ),
        ] {
            let error = events(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
        assert_eq!(shorten("a\u{1b}b"), "a\u{fffd}b");
        assert_eq!(shorten(&"x".repeat(121)).chars().count(), 121);
    }
}
