//! Source files as they are found on real machines.

use super::Mirrors;

fn mirrors(files: &[(&str, &str)]) -> Mirrors {
    let files: Vec<_> = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Mirrors::from_apt(&files)
}

fn check(files: &[(&str, &str)], release: Option<&str>, updates: Option<&str>, security: Option<&str>) {
    let mirrors = mirrors(files);
    let found =
        ["bookworm", "bookworm-updates", "bookworm-security"].map(|pocket| mirrors.pocket_url(pocket));
    assert_eq!(found, [release, updates, security], "{files:#?}");
}

#[test]
fn an_override_serves_everything() {
    for text in ["http://m.example/debian", " http://m.example/debian/ "] {
        let mirrors = Mirrors::from_override(text);
        assert_eq!(mirrors.pocket_url("bookworm-updates"), Some("http://m.example/debian"));
        assert_eq!(mirrors.pocket_url("bookworm-security"), Some("http://m.example/debian-security"));
    }
}

#[test]
fn one_line_sources() {
    let text = "
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
debian http://typo.example/debian bookworm main
deb cdrom:[Debian GNU/Linux 12]/ bookworm main
deb mirror+file:/etc/apt/mirrors/debian.list bookworm main
deb [ arch=amd64,arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ]  http://a.example/debian/ bookworm main contrib # note
deb\thttp://a.example/debian bookworm-updates main
deb https://s.example/debian-security bookworm-security main
";
    let main = Some("http://a.example/debian");
    check(&[("/etc/apt/sources.list", text)], main, main, Some("https://s.example/debian-security"));
    check(&[("/etc/apt/sources.list.d/x.list.save", text)], None, None, None);
}

#[test]
fn paragraph_sources() {
    let text = "
# The archive
Types: deb deb-src
# http://comment.example/debian
URIs: http://a.example/debian
 http://b.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

types: deb
uris: http://s.example/debian-security/
suites: bookworm-security
components: contrib main
signed-by:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 AAAA
 -----END PGP PUBLIC KEY BLOCK-----
";
    let (main, security) = (Some("http://a.example/debian"), Some("http://s.example/debian-security"));
    check(&[("debian.sources", text)], main, main, security);
    let mirrors = mirrors(&[("debian.sources", text)]);
    assert_eq!(mirrors.pocket_urls("bookworm"), ["http://a.example/debian", "http://b.example/debian"]);
    check(&[("debian.sources", &text.replace("Suites:", "Enabled: no\nSuites:"))], None, None, security);
    check(&[("debian.sources", &text.replace("deb deb-src", "deb-src"))], None, None, security);
}

#[test]
fn other_distributions_and_vendors_are_not_debian() {
    let ubuntu = "deb http://u.example/ubuntu jammy main\ndeb http://u.example/ubuntu jammy-updates main\n\
                  deb http://u.example/ubuntu jammy-security main\n";
    let vendors = "deb https://v.example/linux/debian bookworm stable\ndeb https://v.example/node nodistro main\n\
                   deb https://v.example/pg bookworm-pgdg main\ndeb http://r.example/raspbian bookworm main\n";
    check(&[("ubuntu.list", ubuntu), ("vendors.list", vendors)], None, None, None);
}

#[test]
fn a_vendor_with_debians_names_comes_after_debian() {
    let vendor = "deb http://archive.vendor.example/debian bookworm main\n\
                  deb [signed-by=/usr/share/keyrings/vendor.gpg] https://vpn.example/debian bookworm main\n";
    let debian =
        "deb http://d.example/debian bookworm main\ndeb http://d.example/debian bookworm-updates main\n";
    let all = mirrors(&[("a.list", vendor), ("b.list", debian)]);
    let expected =
        ["http://d.example/debian", "http://archive.vendor.example/debian", "https://vpn.example/debian"];
    assert_eq!(all.pocket_urls("bookworm"), expected);
}

#[test]
fn a_machine_on_another_suite_lends_its_mirrors() {
    let text = "deb http://t.example/debian trixie main\ndeb http://t.example/debian-security trixie-security main\n";
    let main = Some("http://t.example/debian");
    check(&[("a.list", text)], main, main, Some("http://t.example/debian-security"));
    let both = format!("{text}deb http://old.example/debian bookworm main\n");
    check(
        &[("a.list", &both)],
        Some("http://old.example/debian"),
        main,
        Some("http://t.example/debian-security"),
    );
}
