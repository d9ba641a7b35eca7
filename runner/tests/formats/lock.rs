//! Every rule of `models.toml`, broken.

use crate::project::{GOOD, HEAD, LOCK, one, says_only};

#[test]
fn the_lock_has_the_same_messages() {
    let lock = |from: &str, to: &str| {
        assert!(LOCK.contains(from), "{from}");
        let project = one(&format!("{HEAD}{GOOD}"));
        project.write("models.toml", LOCK.replacen(from, to, 1).as_bytes());
        project.errors()
    };
    says_only(
        &lock("schema_version = 1", "schema_version = 2"),
        &["error: this program reads `schema_version` 1", "--> models.toml:1:18"],
    );
    says_only(&lock("schema_version = 1", ""), &["error: the lock needs the key `schema_version`"]);
    says_only(
        &lock("sha256", "sha265"),
        &[
            "error: unknown key `sha265` in a model",
            "--> models.toml:6:1",
            "^^^^^^ did you mean `sha256`?",
        ],
    );
    says_only(
        &lock("license = \"MIT\"\n", ""),
        &[
            "error: a model needs the key `license`",
            "--> models.toml:3:1",
            "^^^^^^^^^ `license` is missing in this model",
        ],
    );
    let line = "license = \"MIT\"\ni2s-layout = \"amr\"";
    says_only(
        &lock("license = \"MIT\"", line),
        &[
            "error: `i2s-layout` is one of `x86`, `arm`, `four-rows`",
            "--> models.toml:9:14",
            "^^^^^ did you mean `arm`?",
        ],
    );
    for bad in ["4221B252", "../..", "%2e%2e", ""] {
        says_only(
            &lock("4221b252fdd5fd25e15847adfeb5ee88886506ba50b8a34548374492884c2162", bad),
            &["error: `sha256` is 64 lower-case hex digits", "--> models.toml:6:10"],
        );
    }
    says_only(
        &lock("\"small\"", "\"../small\""),
        &["error: a name matches", "--> models.toml:4:6", "`.` is not allowed"],
    );
    says_only(
        &lock("\"large\"", "\"small\""),
        &["error: two models have the id `small`", "--> models.toml:13:6", "the first"],
    );
    says_only(
        &lock("bytes = 5", "bytes = 0"),
        &["error: `bytes` is at least 1", "--> models.toml:7:9"],
    );
    says_only(
        &lock("\"ci-light\"", "\"quick\""),
        &["error: `quick` is not a value of `tier`", "--> models.toml:5:8"],
    );
    says_only(
        &lock("models/small.gguf", "/models/small.gguf"),
        &["error: `path` is a relative path of names joined by `/`", "--> models.toml:10:19"],
    );
    says_only(
        &lock("{ path = \"models/small.gguf\" }", "{ path = \"x\", url = \"https://a/b\" }"),
        &["error: `source` is exactly one of", "--> models.toml:10:10"],
    );
    for (url, why) in [
        ("ftp://example.org/x", "another scheme"),
        ("models/x.gguf", "another scheme"),
        ("file://x", "no absolute path: write file:///…"),
        ("https://", "no host"),
        ("https://me:secret@example.org/x", "a user name or password"),
        ("https://example.org/a b", "a space or a control character"),
    ] {
        says_only(
            &lock("https://example.org/large.gguf", url),
            &["error: a URL is https://, http:// or file:///", "--> models.toml:19:18", why],
        );
    }
    for (terms, rule) in [
        ("http://example.org/terms", "error: `terms` is an https:// URL without user name"),
        ("https://me@example.org/terms", "error: `terms` is an https:// URL without user name"),
        ("https://example.org/terms", "error: `terms` belongs to a model that is fetched"),
    ] {
        let line = format!("license = \"MIT\"\nterms = \"{terms}\"");
        says_only(&lock("license = \"MIT\"", &line), &[rule]);
    }
    let hf = |repository: &str, revision: &str, file: &str| {
        lock(
            "{ path = \"models/small.gguf\" }",
            &format!("{{ hf = \"{repository}\", revision = \"{revision}\", file = \"{file}\" }}"),
        )
    };
    let commit = "a1f2f1c765812aa8af3f6eda4a313707064bba15";
    says_only(&hf("a", commit, "f"), &["error: `hf` is a repository, `owner/name`"]);
    says_only(&hf("a/../b", commit, "f"), &["error: `hf` is a repository, `owner/name`"]);
    says_only(&hf("a/b", "main", "f"), &["error: `revision` is 40 lower-case hex digits"]);
    says_only(&hf("a/b", commit, "../f"), &["error: `file` is a relative path"]);
    let synth = "{ synth = { arch = \"a\", preset = \"p\", type = \"I2_S\", embedding-type = \"F16\", seed = -1 } }";
    says_only(&lock("{ path = \"models/small.gguf\" }", synth), &["error: `seed` is not negative"]);
}
