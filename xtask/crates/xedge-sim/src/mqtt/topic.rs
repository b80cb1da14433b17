//! Topic names and filters (MQTT 3.1.1 §4.7). Pure.

/// Whether this can be published to.
pub fn is_name(topic: &str) -> bool {
    !topic.is_empty() && topic.len() <= 65_535 && !topic.contains(['+', '#', '\0'])
}

/// Whether this can be subscribed to.
pub fn is_filter(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    let last = levels.len() - 1;
    let level_fits = |(index, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => index == last,
        text => !text.contains(['+', '#', '\0']),
    };
    !filter.is_empty() && filter.len() <= 65_535 && levels.iter().enumerate().all(level_fits)
}

/// Whether a filter takes in a topic. Wildcards at the start do not match topics that start with `$` (§4.7.2).
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (text, Some(level)) if text == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::{is_filter, is_name, matches};

    #[test]
    fn names_and_filters() {
        for good in ["a", "a/b", "/", "a//b", "$SYS/x"] {
            assert!(is_name(good) && is_filter(good), "{good}");
        }
        for filter in ["+", "#", "a/+/b", "a/#", "+/+"] {
            assert!(is_filter(filter) && !is_name(filter), "{filter}");
        }
        for bad in ["", "a#", "a/#/b", "a+/b", "a\0b"] {
            assert!(!is_filter(bad) && !is_name(bad), "{bad}");
        }
    }

    #[test]
    fn matching_follows_the_examples_of_the_standard() {
        for (filter, topic, want) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/monitor/Clients", true),
            ("sensors/+", "sensors/a/b", false),
            ("sensors/a", "sensors/b", false),
        ] {
            assert_eq!(matches(filter, topic), want, "{filter} {topic}");
        }
    }
}
