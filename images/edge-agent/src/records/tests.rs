//! Files as they may be found after a cut, and two who want the same lock.

use std::cell::Cell;

use xedge_model::Failure as _;

use super::*;
use crate::state::StackState;

/// A clock whose time passes by waiting.
struct Patience(Cell<Duration>);

impl Clock for Patience {
    fn unix(&self) -> i64 {
        0
    }

    fn monotonic(&self) -> Duration {
        self.0.get()
    }

    fn sleep(&self, time: Duration) {
        self.0.set(self.0.get() + time);
    }
}

fn home() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(Utf8PathBuf::try_from(folder.path().to_owned()).unwrap());
    (folder, home)
}

#[test]
fn a_stack_that_was_never_there_is_empty_and_a_torn_one_is_not() {
    let (_folder, home) = home();
    let stack = home.stack("edge");
    assert_eq!(load_state(&stack).unwrap(), StackState::default());
    assert_eq!(load_journal(&stack).unwrap(), None);
    let state = StackState {
        adopted_volumes: [("data".to_owned(), "/opt/data".to_owned())].into(),
        ..Default::default()
    };
    save_state(&stack, &state).unwrap();
    assert_eq!(load_state(&stack).unwrap(), state);
    let whole = std::fs::read(stack.state()).unwrap();
    for end in [0, 1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(stack.state(), &whole[..end]).unwrap();
        assert!(matches!(load_state(&stack), Err(Error::Damaged { .. })), "{end}");
        std::fs::write(stack.journal(), &whole[..end]).unwrap();
        let error = load_journal(&stack).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{end}");
        let hint = error.hint().unwrap();
        assert!(
            hint.contains("sudo mv ") && !hint.contains("reenroll"),
            "another enrolment does not help: {hint}"
        );
    }
    clear_journal(&stack).unwrap();
    assert_eq!(load_journal(&stack).unwrap(), None);
}

/// What a cut write leaves is a file beside, which nobody reads.
#[test]
fn what_a_cut_write_leaves_beside_is_not_read() {
    let (_folder, home) = home();
    let stack = home.stack("edge");
    save_state(&stack, &StackState::default()).unwrap();
    std::fs::write(stack.root().join(".write-abc"), b"half").unwrap();
    assert_eq!(load_state(&stack).unwrap(), StackState::default());
    assert_eq!(stacks(&home).unwrap(), ["edge"]);
    std::fs::create_dir(home.stacks().join(".write-folder")).unwrap();
    assert_eq!(stacks(&home).unwrap(), ["edge"]);
}

#[test]
fn only_one_may_change_the_device_and_the_other_hears_who_does() {
    let (_folder, home) = home();
    let clock = Patience(Cell::new(Duration::ZERO));
    let lock = Lock::take(&home, &clock, Duration::ZERO).unwrap();
    let error = Lock::take(&home, &clock, Duration::from_secs(5)).unwrap_err();
    assert!(clock.monotonic() >= Duration::from_secs(5), "it waited");
    assert!(matches!(error, Error::Busy { holder: Some(pid) } if pid == std::process::id()), "{error}");
    drop(lock);
    let _lock = Lock::take(&home, &clock, Duration::ZERO).unwrap();
}

/// A program that is just being started holds copies of all open files until it runs.
#[test]
fn a_copy_of_the_file_does_not_keep_the_lock() {
    let (_folder, home) = home();
    let clock = Patience(Cell::new(Duration::ZERO));
    let lock = Lock::take(&home, &clock, Duration::ZERO).unwrap();
    let copy = lock.0.try_clone().unwrap();
    drop(lock);
    let _lock = Lock::take(&home, &clock, Duration::ZERO).unwrap();
    drop(copy);
}
