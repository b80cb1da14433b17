//! Conversations with a host that keeps to the rules, and with hosts that do not.

use std::cell::RefCell;

use camino::Utf8PathBuf;
use tempfile::TempDir;
use xedge_bundle::member::{self, Kind};
use xedge_bundle::tuf::PIECE;
use xedge_wire::Want;

use super::*;
use crate::engine::{Fake, ImageLoad, LayerLoad};
use crate::forge::{Forge, NOW, Parts};
use crate::staged::Staged;
use crate::trust::{Enrolment, enrol};

struct Bench {
    _folder: TempDir,
    home: Home,
    engine: Utf8PathBuf,
}

struct Still;

impl Clock for Still {
    fn unix(&self) -> i64 {
        NOW
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _time: Duration) {}
}

impl Bench {
    fn new(forge: &Forge) -> Self {
        let bench = Self::empty();
        let device = Device::new(None, &[1; 16]);
        enrol(&bench.home, &forge.trusted(), &device, Enrolment::First).unwrap();
        bench
    }

    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::try_from(folder.path().to_owned()).unwrap();
        Self { home: Home::new(root.join("state")), engine: root.join("engine"), _folder: folder }
    }

    fn engine(&self) -> Fake {
        Fake::open(&self.engine, || 1)
    }

    /// Everything that the device answers, and how the session ended.
    fn talk(&self, host: &[u8]) -> (Vec<ToHost>, Result<()>) {
        let connect = || -> Result<Box<dyn Engine>> { Ok(Box::new(self.engine())) };
        let machine = Machine::real();
        let served = Served {
            home: &self.home,
            machine: &machine,
            clock: &Still,
            version: "0.1.0",
            connect: &connect,
        };
        let mut output = Vec::new();
        let ended = serve(&served, &mut &*host, &mut output);
        let mut answers = Vec::new();
        let mut lines = output.as_slice();
        while let Some(answer) = read_line(&mut lines).unwrap() {
            answers.push(answer);
        }
        (answers, ended)
    }

    fn wants(&self, parts: &Parts) -> Vec<Want> {
        match self.talk(&head(parts)).0.as_slice() {
            [ToHost::Wants { members, .. }] => members.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Sends everything that is wanted, until nothing is.
    fn send(&self, parts: &Parts) {
        for _ in 0..3 {
            let mut host = head(parts);
            for want in self.wants(parts) {
                host.extend(part(parts, &want));
            }
            self.talk(&host).1.unwrap();
        }
        assert_eq!(self.wants(parts), []);
    }

    fn stage(&self, forge: &Forge) -> Result<Staged> {
        let trust = TrustStore::open(&self.home)?;
        let head = self.home.stack(&forge.manifest.stack).incoming();
        Staged::verify(&self.home, &head, &trust, NOW, &self.engine())
    }
}

fn line(message: &ToDevice) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_line(&mut bytes, message).unwrap();
    bytes
}

fn hello() -> Vec<u8> {
    line(&ToDevice::Hello { wire: WIRE, version: "0.1.0".into() })
}

fn head(parts: &Parts) -> Vec<u8> {
    let bytes = parts.head();
    let mut host = line(&ToDevice::Head { bytes: bytes.len() as u64 });
    host.extend(bytes);
    host
}

fn bytes_of<'a>(parts: &'a Parts, name: &str) -> &'a [u8] {
    &parts.0.iter().find(|(found, _)| found == name).unwrap().1
}

fn part(parts: &Parts, want: &Want) -> Vec<u8> {
    let bytes = &bytes_of(parts, &want.name)[usize::try_from(want.from).unwrap()..];
    let (name, offset) = (want.name.clone(), want.from);
    let mut host = line(&ToDevice::Member(Member { name, offset, bytes: bytes.len() as u64 }));
    host.extend_from_slice(bytes);
    host
}

fn secret(name: &str, owner: u32, value: &[u8]) -> Vec<u8> {
    let (stack, name) = ("edge".to_owned(), name.to_owned());
    let mut host = line(&ToDevice::Secret { stack, name, owner, bytes: value.len() as u64 });
    host.extend_from_slice(value);
    host
}

fn refusal(answers: &[ToHost]) -> &Problem {
    match answers.last() {
        Some(ToHost::Failed(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

fn big() -> Forge {
    let layer: Vec<u8> = (0..3 * PIECE + 99).map(|at| u8::try_from(at % 253).unwrap()).collect();
    Forge::with(|forge| forge.replace_layer(&layer))
}

#[test]
fn a_device_says_who_it_is_before_it_is_enrolled() {
    let bench = Bench::empty();
    let (answers, ended) = bench.talk(&hello());
    ended.unwrap();
    let [ToHost::Hello { wire: WIRE, agent, device }] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((agent.as_str(), device.id.as_str(), &device.root), ("0.1.0", "", &None));
    let forge = Forge::new();
    let (answers, _) = bench.talk(&head(&forge.parts()));
    assert!(refusal(&answers).messages[0].contains("not enrolled"), "{answers:?}");
}

#[test]
fn a_host_of_another_version_learns_which_one_is_spoken_here_and_nothing_else() {
    let bench = Bench::empty();
    for wire in [WIRE - 1, WIRE + 1] {
        let other = line(&ToDevice::Hello { wire, version: "9".into() });
        let (answers, ended) = bench.talk(&other);
        ended.unwrap();
        assert!(matches!(answers[..], [ToHost::Hello { wire: WIRE, .. }]), "{answers:?}");
        let (answers, ended) = bench.talk(&[other, line(&ToDevice::Inventory), hello()].concat());
        assert_eq!((answers.len(), ended.is_err()), (2, true), "{answers:?}");
        assert!(refusal(&answers).hint.as_ref().unwrap().contains("upgrade"), "{answers:?}");
    }
}

#[test]
fn a_release_comes_in_two_rounds_and_is_then_whole() {
    let forge = big();
    let (bench, parts) = (Bench::new(&forge), forge.parts());
    let first = bench.wants(&parts);
    let is_layer = |want: &Want| want.length > PIECE;
    assert!(!first.is_empty() && !first.iter().any(is_layer), "the small members first: {first:?}");
    let mut host = head(&parts);
    for want in &first {
        host.extend(part(&parts, want));
    }
    host.extend(line(&ToDevice::Want));
    let (answers, _) = bench.talk(&host);
    let [_, ToHost::Wants { members, secrets, values }] = answers.as_slice() else { panic!("{answers:?}") };
    assert!(members.len() == 1 && is_layer(&members[0]), "then the layer: {members:?}");
    assert_eq!(secrets, &["login", "passwords"]);
    assert_eq!(values, &["site"]);
    let error = bench.stage(&forge).unwrap_err();
    assert!(matches!(error, Error::Transfer(TransferError::Incomplete { count: 1, .. })), "{error}");
    bench.send(&parts);
    let staged = bench.stage(&forge).unwrap();
    assert_eq!(staged.manifest().seq, forge.manifest.seq);
    let image = staged.image("broker").unwrap();
    let mut layer = Vec::new();
    staged.open_layer(&image.layers[0].digest).unwrap().read_to_end(&mut layer).unwrap();
    assert_eq!(layer, bytes_of(&parts, &member::blob(&image.layers[0].digest)));
    assert!(staged.verified().absent().is_empty());
}

#[test]
fn layers_that_the_engine_has_do_not_travel() {
    let forge = big();
    let (bench, parts) = (Bench::new(&forge), forge.parts());
    let layer = parts.0.iter().find(|(_, bytes)| bytes.len() as u64 > PIECE).unwrap();
    let (config, other) = (br#"{"other":1}"#.as_slice(), Digest::of(b"other"));
    let layers = [LayerLoad {
        digest: Digest::of(&layer.1),
        length: layer.1.len() as u64,
        diff_id: Digest::of(&layer.1),
        here: false,
    }];
    let open =
        |_: &Digest| -> Result<Box<dyn Read + Send>> { Ok(Box::new(io::Cursor::new(layer.1.clone()))) };
    let load = ImageLoad {
        manifest: &other,
        config,
        config_digest: &Digest::of(config),
        layers: &layers,
        open: &open,
    };
    bench.engine().load(&load).unwrap();
    bench.send(&parts);
    assert!(!bench.home.member(&Digest::of(&layer.1)).exists());
    let staged = bench.stage(&forge).unwrap();
    assert_eq!(staged.verified().absent().iter().collect::<Vec<_>>(), [&Digest::of(&layer.1)]);
    assert!(staged.image("broker").unwrap().layers[0].here);
}

#[test]
fn layers_without_room_are_not_asked_for() {
    let forge = big();
    let (mut bench, parts) = (Bench::new(&forge), forge.parts());
    // A file system that never has room.
    bench.engine = "/proc/no-room".into();
    let mut host = head(&parts);
    for want in bench.wants(&parts) {
        host.extend(part(&parts, &want));
    }
    host.extend(line(&ToDevice::Want));
    let (answers, ended) = bench.talk(&host);
    ended.unwrap();
    assert_eq!(refusal(&answers).code.as_deref(), Some("no-space"), "{answers:?}");
}

/// Whatever a power cut or a bad disk did to a member: it is refused, thrown away, and asked for again.
#[test]
fn every_member_that_went_bad_in_the_store_is_found() {
    let forge = Forge::new();
    let (bench, parts) = (Bench::new(&forge), forge.parts());
    bench.send(&parts);
    let names: Vec<&String> = parts
        .0
        .iter()
        .map(|(name, _)| name)
        .filter(|name| member::kind_of(name) > Some(Kind::Bundle))
        .collect();
    assert!(names.len() > 8);
    for name in names {
        let mut bytes = bytes_of(&parts, name).to_vec();
        let path = bench.home.member(&Digest::of(&bytes));
        bytes[0] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = bench.stage(&forge).unwrap_err();
        assert!(
            matches!(error, Error::DamagedMember { .. }) || error.code() == Some("digest"),
            "{name}: {error}"
        );
        assert!(!path.exists(), "{name} is thrown away");
        bench.send(&parts);
        let _whole = bench.stage(&forge).unwrap();
    }
}

#[test]
fn a_head_that_is_refused_leaves_nothing_and_the_session_goes_on() {
    let forge = Forge::new();
    let bench = Bench::new(&forge);
    let mut flipped = forge.parts();
    let last = flipped.0.iter().position(|(name, _)| name == member::BUNDLE).unwrap();
    flipped.0[last].1[5] ^= 1;
    let foreign = Forge::with(|forge| forge.roots[0].keys = vec![9]);
    for (parts, code) in [(flipped, "digest"), (foreign.parts(), "root-unknown")] {
        let mut host = head(&parts);
        host.extend(hello());
        let (answers, ended) = bench.talk(&host);
        ended.unwrap();
        let [ToHost::Failed(problem), ToHost::Hello { .. }] = answers.as_slice() else {
            panic!("{answers:?}")
        };
        assert_eq!((problem.class, problem.code.as_deref()), (6, Some(code)));
        assert!(!bench.home.stacks().exists() && !bench.home.store().exists());
    }
    let left: Vec<_> = bench.home.root().read_dir_utf8().unwrap().map(|entry| entry.unwrap()).collect();
    assert!(!left.iter().any(|entry| entry.file_name().starts_with("incoming")), "{left:?}");
    let (answers, ended) = bench.talk(&line(&ToDevice::Head { bytes: 1 << 40 }));
    assert!(ended.is_err() && refusal(&answers).messages[0].contains("more than"), "{answers:?}");
}

#[test]
fn what_was_not_asked_for_is_not_written() {
    let forge = big();
    let (bench, parts) = (Bench::new(&forge), forge.parts());
    let want = bench.wants(&parts)[0].clone();
    let layer = parts.0.iter().find(|(_, bytes)| bytes.len() as u64 > PIECE).unwrap();
    let early = Want { name: layer.0.clone(), from: 0, length: layer.1.len() as u64 };
    let strange = |name: &str| {
        let mut host = line(&ToDevice::Member(Member { name: name.into(), offset: 0, bytes: 1 }));
        host.push(b'x');
        host
    };
    let longer = {
        let member = Member { name: want.name.clone(), offset: 0, bytes: want.length + 1 };
        let mut host = line(&ToDevice::Member(member));
        host.resize(host.len() + usize::try_from(want.length).unwrap() + 1, 0);
        host
    };
    let mut wrong = part(&parts, &want);
    *wrong.last_mut().unwrap() ^= 1;
    for member in [part(&parts, &early), strange("../../etc/passwd"), strange("blob.x"), longer, wrong] {
        let mut host = head(&parts);
        host.extend(member);
        let (answers, ended) = bench.talk(&host);
        ended.unwrap_err();
        refusal(&answers);
        assert_eq!(Store::new(&bench.home).members().unwrap().values().sum::<u64>(), 0, "{answers:?}");
    }
    let (answers, ended) = bench.talk(&part(&parts, &want));
    ended.unwrap_err();
    assert!(refusal(&answers).messages[0].contains("comes first"));
    let (answers, ended) = bench.talk(b"GET / HTTP/1.1\r\n");
    ended.unwrap_err();
    assert!(refusal(&answers).messages[0].contains("understand"));
}

/// A connection that breaks anywhere: what was whole stays, and the next one goes on from there.
#[test]
fn a_session_may_be_cut_at_any_byte() {
    let forge = big();
    let parts = forge.parts();
    let bench = Bench::new(&forge);
    let mut host = head(&parts);
    for want in bench.wants(&parts) {
        host.extend(part(&parts, &want));
    }
    for cut in (0..host.len()).step_by(97) {
        let (_, ended) = bench.talk(&host[..cut]);
        drop(ended);
    }
    bench.send(&parts);
    let layers = || bench.stage(&forge);
    let _whole = layers().unwrap();
    let layer = Digest::of(&parts.0.iter().find(|(_, bytes)| bytes.len() as u64 > PIECE).unwrap().1);
    Store::new(&bench.home).discard(&layer).unwrap();
    let rest = part(&parts, &bench.wants(&parts)[0]);
    let mut host = head(&parts);
    let start = host.len();
    host.extend(rest);
    let cut = start + usize::try_from(2 * PIECE).unwrap() + 300;
    bench.talk(&host[..cut]).1.unwrap_err();
    assert_eq!(bench.wants(&parts)[0].from, 2 * PIECE, "it goes on at the third piece");
    bench.send(&parts);
    let _whole = layers().unwrap();
}

#[test]
fn only_declared_secrets_and_values_are_kept() {
    let forge = Forge::new();
    let (bench, parts) = (Bench::new(&forge), forge.parts());
    let values = |name: &str| {
        let values = [(name.to_owned(), "north".to_owned())].into();
        line(&ToDevice::Values { stack: "edge".into(), values })
    };
    let mut host = head(&parts);
    host.extend(secret("other", 1883, b"x"));
    host.extend(secret("login", 0, b"x"));
    host.extend(values("strange"));
    host.extend(values("site"));
    host.extend(line(&ToDevice::Want));
    let (answers, ended) = bench.talk(&host);
    ended.unwrap();
    let failed = answers.iter().filter(|answer| matches!(answer, ToHost::Failed(_))).count();
    assert_eq!(failed, 3, "{answers:?}");
    let Some(ToHost::Wants { secrets, values, .. }) = answers.last() else { panic!("{answers:?}") };
    assert_eq!(secrets, &["login", "passwords"]);
    assert!(values.is_empty());
    let stack = bench.home.stack("edge");
    assert!(!stack.secrets().exists());
    let mut host = head(&parts);
    let (stack, name) = ("edge".to_owned(), "login".to_owned());
    host.extend(line(&ToDevice::Secret { stack, name, owner: 1883, bytes: 1 << 40 }));
    let (answers, ended) = bench.talk(&host);
    ended.unwrap_err();
    refusal(&answers);
}

/// Lets another session send another head before the last message comes.
struct Between<'a, F: Fn()> {
    before: &'a [u8],
    after: &'a [u8],
    meanwhile: RefCell<Option<F>>,
}
impl<F: Fn()> Read for Between<'_, F> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if !self.before.is_empty() {
            return self.before.read(to);
        }
        if let Some(meanwhile) = self.meanwhile.borrow_mut().take() {
            meanwhile();
        }
        self.after.read(to)
    }
}

#[test]
fn another_sessions_release_is_not_installed_for_this_one() {
    let forge = Forge::new();
    let bench = Bench::new(&forge);
    let newer = Forge::with(|forge| forge.manifest.seq = 8);
    let (mine, other) = (forge.parts(), newer.parts());
    bench.send(&mine);
    let (before, after) = (head(&mine), line(&ToDevice::Apply { adopt: None, check_only: true }));
    let meanwhile = RefCell::new(Some(|| drop(bench.talk(&head(&other)))));
    let reader = Between { before: &before, after: &after, meanwhile };
    let connect = || -> Result<Box<dyn Engine>> { Ok(Box::new(bench.engine())) };
    let machine = Machine::real();
    let served =
        Served { home: &bench.home, machine: &machine, clock: &Still, version: "0.1.0", connect: &connect };
    let mut output = Vec::new();
    serve(&served, &mut io::BufReader::new(reader), &mut output).unwrap();
    let text = String::from_utf8(output).unwrap();
    assert!(text.contains("another session sent another one"), "{text}");
}

/// What another session has installed meanwhile is no other release.
#[test]
fn a_head_is_found_with_the_release_that_runs() {
    let parts = Forge::new().parts();
    let bench = Bench::new(&Forge::new());
    let stack = bench.home.stack("edge");
    let (bytes, manifest) = (parts.head(), &Forge::new().manifest);
    let digest = Digest::of(&bytes);
    let replaced = head::find(&stack, &digest, manifest).unwrap_err();
    assert!(matches!(replaced, Error::Transfer(TransferError::Replaced { .. })), "{replaced}");
    let kept = stack.head(manifest.seq);
    std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
    std::fs::write(&kept, &bytes).unwrap();
    assert_eq!(head::find(&stack, &digest, manifest).unwrap(), kept);
    std::fs::write(stack.incoming(), b"another").unwrap();
    assert_eq!(head::find(&stack, &digest, manifest).unwrap(), kept);
    std::fs::write(stack.incoming(), &bytes).unwrap();
    assert_eq!(head::find(&stack, &digest, manifest).unwrap(), stack.incoming());
}
