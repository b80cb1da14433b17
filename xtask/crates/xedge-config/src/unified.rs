//! Unified diffs, as Git and reviewers read them. Text in, text out.

use std::fmt::Write as _;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// The most cells of the table that finds what two files share; beyond it, the changed part is shown as replaced.
const MOST_CELLS: usize = 4_000_000;

/// One line of a difference.
#[derive(Clone, Copy)]
enum Line<'t> {
    Same(&'t str),
    Gone(&'t str),
    New(&'t str),
}

/// What turns `from` into `to`; nothing where they are the same. A file that is not there is `None`.
pub(crate) fn unified(path: &str, from: Option<&str>, to: Option<&str>) -> String {
    let name = |text: Option<&str>, side: &str| match text {
        Some(_) => format!("{side}/{path}"),
        None => "/dev/null".to_owned(),
    };
    let lines = lines(from.unwrap_or_default(), to.unwrap_or_default());
    let mut out = String::new();
    if lines.iter().any(|line| !matches!(line, Line::Same(_))) || from.is_some() != to.is_some() {
        let _ = writeln!(out, "--- {}\n+++ {}", name(from, "a"), name(to, "b"));
    }
    for (start, end) in hunks(&lines) {
        hunk(&mut out, &lines, start, end);
    }
    out
}

/// Ranges of lines with a change and its surroundings.
fn hunks(lines: &[Line<'_>]) -> Vec<(usize, usize)> {
    let mut hunks: Vec<(usize, usize)> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if matches!(line, Line::Same(_)) {
            continue;
        }
        let (start, end) = (index.saturating_sub(CONTEXT), (index + 1 + CONTEXT).min(lines.len()));
        match hunks.last_mut() {
            Some(last) if last.1 >= start => last.1 = end,
            _ => hunks.push((start, end)),
        }
    }
    hunks
}

fn hunk(out: &mut String, lines: &[Line<'_>], start: usize, end: usize) {
    let count = |lines: &[Line<'_>], new: bool| {
        lines.iter().filter(|l| !matches!((l, new), (Line::New(_), false) | (Line::Gone(_), true))).count()
    };
    let range = |new: bool| {
        let (before, within) = (count(&lines[..start], new), count(&lines[start..end], new));
        // An empty range is said to follow the line before it.
        format!("{},{within}", if within == 0 { before } else { before + 1 })
    };
    let _ = writeln!(out, "@@ -{} +{} @@", range(false), range(true));
    for line in &lines[start..end] {
        let (mark, text) = match line {
            Line::Same(text) => (' ', text),
            Line::Gone(text) => ('-', text),
            Line::New(text) => ('+', text),
        };
        let _ = write!(out, "{mark}{text}");
        if !text.ends_with('\n') {
            out.push_str("\n\\ No newline at end of file\n");
        }
    }
}

fn lines<'t>(from: &'t str, to: &'t str) -> Vec<Line<'t>> {
    let from: Vec<&str> = from.split_inclusive('\n').collect();
    let to: Vec<&str> = to.split_inclusive('\n').collect();
    let start = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let rest = from[start..].iter().rev().zip(to[start..].iter().rev());
    let end = rest.take_while(|(a, b)| a == b).count();
    let mut lines: Vec<Line<'t>> = from[..start].iter().copied().map(Line::Same).collect();
    middle(&from[start..from.len() - end], &to[start..to.len() - end], &mut lines);
    lines.extend(from[from.len() - end..].iter().copied().map(Line::Same));
    lines
}

/// The longest common subsequence, in the usual table.
fn middle<'t>(from: &[&'t str], to: &[&'t str], lines: &mut Vec<Line<'t>>) {
    let width = to.len() + 1;
    if (from.len() + 1).saturating_mul(width) > MOST_CELLS {
        lines.extend(from.iter().copied().map(Line::Gone));
        lines.extend(to.iter().copied().map(Line::New));
        return;
    }
    let mut shared = vec![0_u32; (from.len() + 1) * width];
    for i in (0..from.len()).rev() {
        for j in (0..to.len()).rev() {
            shared[i * width + j] = if from[i] == to[j] {
                shared[(i + 1) * width + j + 1] + 1
            } else {
                shared[(i + 1) * width + j].max(shared[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        if i < from.len() && j < to.len() && from[i] == to[j] {
            lines.push(Line::Same(from[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < from.len()
            && (j == to.len() || shared[(i + 1) * width + j] >= shared[i * width + j + 1])
        {
            lines.push(Line::Gone(from[i]));
            i += 1;
        } else {
            lines.push(Line::New(to[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::unified;

    #[test]
    fn a_change_is_shown_between_its_neighbours() {
        let from = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n";
        let to = "a\nb\nc\nd\nE\nf\ng\nh\ni\nj\nk\nl\nm";
        assert_eq!(
            unified("x", Some(from), Some(to)),
            "--- a/x\n+++ b/x\n@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n@@ -10,3 +10,4 @@\n j\n k\n l\n+m\n\\ No newline at end of file\n"
        );
        assert_eq!(unified("x", Some(from), Some(from)), "");
        assert_eq!(unified("x", None, Some("a\n")), "--- /dev/null\n+++ b/x\n@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(unified("x", Some("a\n"), None), "--- a/x\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n");
    }

    /// Git is the judge of what is a unified diff.
    #[test]
    fn git_turns_the_one_into_the_other() {
        let texts = [
            "",
            "a\n",
            "a\nb\nc",
            "b\nc\na\n",
            "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n",
            "1\n2\nx\n4\n5\n6\n7\n8\n9\n11\n12\ny\n",
            "c\n",
        ];
        for from in texts {
            for to in texts.iter().filter(|to| **to != from) {
                let folder = tempfile::tempdir().unwrap();
                fs::write(folder.path().join("x"), from).unwrap();
                fs::write(folder.path().join("d"), unified("x", Some(from), Some(to))).unwrap();
                let mut git = Command::new("git");
                git.args(["apply", "d"]).current_dir(folder.path());
                let ran = git.env("GIT_CEILING_DIRECTORIES", folder.path()).output().expect("git starts");
                assert!(ran.status.success(), "{from:?} {to:?}: {}", String::from_utf8_lossy(&ran.stderr));
                let found = fs::read_to_string(folder.path().join("x")).unwrap();
                assert_eq!(found, *to, "from {from:?}");
            }
        }
    }
}
