//! Who may use whom, and where each heavy crate lives: rules over manifests.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use crate::Breach;
use crate::workspace::File;

/// A room, its floor, and the rooms it may use. Names are without `tidegate-`;
/// `gate` is the binary, whose crate is called `tidegate`.
const ROOMS: [(&str, u8, &[&str]); 11] = [
    ("resilience", 0, &[]),
    ("work", 0, &[]),
    ("text", 0, &[]),
    ("model", 0, &["work"]),
    ("provider", 0, &[]),
    ("store", 1, &["resilience"]),
    ("guard", 1, &["text", "model", "work"]),
    ("retrieval", 1, &["text", "model", "work"]),
    ("tasks", 2, &["store", "resilience", "work"]),
    (
        "engine",
        3,
        &[
            "tasks",
            "store",
            "guard",
            "retrieval",
            "resilience",
            "work",
            "text",
            "model",
            "provider",
        ],
    ),
    // Of the models it uses what makes small ones for its tests.
    (
        "gate",
        4,
        &["engine", "text", "guard", "retrieval", "model"],
    ),
];

/// Heavy crates (a `*` at the end stands for a family) and the rooms they live
/// in. The first pattern that matches decides.
const HOMES: [(&[&str], &[&str]); 11] = [
    (&["axum*", "clap*", "anyhow", "eyre", "miette"], &["gate"]),
    (
        &["redis", "fred", "rusqlite", "sqlx", "redb", "moka"],
        &["store"],
    ),
    (&["tantivy*", "grep", "grep-*", "ignore"], &["retrieval"]),
    (&["candle*", "ort", "ort-*", "rten*", "tract*"], &["model"]),
    (&["hyper", "hyper-util"], &["gate", "provider"]),
    (
        &["reqwest*", "ureq*", "curl", "isahc", "hyper-*"],
        &["provider"],
    ),
    (&["rustls*", "tokio-rustls", "webpki-roots"], &["provider"]),
    (&["aws-*"], &["provider"]),
    (&["minijinja*"], &["text"]),
    (&["croner", "chrono*"], &["tasks"]),
    (&["hmac"], &["engine"]),
];

/// The crate of a room.
fn crate_of(room: &str) -> String {
    if room == "gate" {
        "tidegate".to_owned()
    } else {
        format!("tidegate-{room}")
    }
}

/// The room of a crate, or nothing where the crate is not ours.
fn room_of(name: &str) -> Option<&str> {
    if name == "tidegate" {
        Some("gate")
    } else {
        name.strip_prefix("tidegate-")
    }
}

/// The folder names that `crates/` holds, and no others.
pub(crate) fn rooms() -> BTreeSet<String> {
    ROOMS.iter().map(|(room, _, _)| crate_of(room)).collect()
}

/// The rooms that a manifest uses although the design does not allow it, in any
/// kind of dependency: a test may not open a door that the code may not.
pub(crate) fn forbidden(manifest: &File, versions: &str) -> Vec<Breach> {
    let room = manifest.room().and_then(room_of).unwrap_or("nameless");
    let row = ROOMS.iter().find(|(name, _, _)| *name == room);
    let allowed = row.map_or(&[] as &[&str], |(_, _, uses)| uses);
    let mut breaches = Vec::new();
    for used in dependencies(&manifest.text, versions) {
        let Some(target) = room_of(&used.package) else {
            continue;
        };
        if !allowed.contains(&target) {
            let what = format!("{room} uses {target}; it may use {allowed:?}");
            breaches.push(used.breach(manifest, what));
        }
    }
    breaches
}

/// The heavy crates that a manifest uses although they live elsewhere.
pub(crate) fn strays(manifest: &File, versions: &str) -> Vec<Breach> {
    let room = manifest.room().and_then(room_of).unwrap_or("nameless");
    let mut breaches = Vec::new();
    for used in dependencies(&manifest.text, versions) {
        let Some(homes) = homes_of(&used.package) else {
            continue;
        };
        if !homes.contains(&room) {
            let what = format!("{room} uses {}; its home is {homes:?}", used.package);
            breaches.push(used.breach(manifest, what));
        }
    }
    breaches
}

fn homes_of(package: &str) -> Option<&'static [&'static str]> {
    let matches = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(family) => package.starts_with(family),
        None => package == *pattern,
    };
    HOMES
        .iter()
        .find(|(patterns, _)| patterns.iter().any(matches))
        .map(|(_, homes)| *homes)
}

/// A dependency: the package behind its name, and its line in the manifest.
struct Dependency {
    package: String,
    line: usize,
}

impl Dependency {
    fn breach(&self, manifest: &File, what: String) -> Breach {
        Breach::new(&manifest.path, self.line, what)
    }
}

/// Every dependency of a manifest: normal, dev and build, for all targets.
fn dependencies(text: &str, versions: &str) -> Vec<Dependency> {
    let (manifest, versions) = (parse(text), parse(versions));
    let shared = table(&versions, "workspace").and_then(|shared| table(shared, "dependencies"));
    let targets = table(&manifest, "target")
        .into_iter()
        .flat_map(DeTable::values);
    let mut found = Vec::new();
    for part in targets
        .filter_map(|target| target.get_ref().as_table())
        .chain([&manifest])
    {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (key, value) in table(part, kind).into_iter().flatten() {
                let name = key.get_ref().as_ref();
                let behind = package(value.get_ref())
                    .or_else(|| package(shared?.get(name)?.get_ref()))
                    .unwrap_or(name);
                let line = text[..key.span().start].matches('\n').count() + 1;
                found.push(Dependency {
                    package: behind.to_owned(),
                    line,
                });
            }
        }
    }
    found
}

fn parse(manifest: &str) -> DeTable<'_> {
    let table = DeTable::parse(manifest);
    table
        .unwrap_or_else(|e| panic!("a manifest is not TOML: {e}"))
        .into_inner()
}

fn table<'a, 'i>(parent: &'a DeTable<'i>, key: &str) -> Option<&'a DeTable<'i>> {
    parent.get(key)?.get_ref().as_table()
}

fn package<'a>(dependency: &'a DeValue<'_>) -> Option<&'a str> {
    dependency.get("package")?.get_ref().as_str()
}

fn manifest(room: &str, text: &str) -> File {
    File {
        path: format!("crates/{}/Cargo.toml", crate_of(room)),
        text: text.to_owned(),
    }
}

#[test]
fn the_table_of_rooms_points_down_only() {
    let floor = |room: &str| {
        ROOMS
            .iter()
            .find(|(name, _, _)| *name == room)
            .expect("a room")
            .1
    };
    for (room, own, uses) in ROOMS {
        for used in uses {
            let is_down = floor(used) < own || (room, *used) == ("model", "work");
            assert!(is_down, "{room} on floor {own} uses {used}");
        }
    }
}

#[test]
fn an_edge_that_the_design_lacks_is_found_in_every_kind_of_dependency() {
    for text in [
        "[package]\n[dependencies]\ntidegate-store.workspace = true\n",
        "[package]\n[dev-dependencies]\ntidegate-store = { path = \"x\" }\n",
        "[package]\n[build-dependencies]\ntidegate-store = { path = \"x\" }\n",
        "[package]\n[target.'cfg(unix)'.dependencies]\ntidegate-store = { path = \"x\" }\n",
        "[package]\n[dependencies]\nother = { package = \"tidegate-store\", path = \"x\" }\n",
        "[package]\n\n[dependencies.tidegate-store]\npath = \"x\"\n",
    ] {
        let found = forbidden(&manifest("guard", text), "");
        let what = "guard uses store; it may use [\"text\", \"model\", \"work\"]";
        assert_eq!(
            found,
            [Breach::new("crates/tidegate-guard/Cargo.toml", 3, what)],
            "{text}"
        );
        assert_eq!(forbidden(&manifest("tasks", text), ""), []);
    }
}

#[test]
fn the_binary_may_not_reach_past_the_engine() {
    for (room, count) in [("store", 1), ("provider", 1), ("engine", 0), ("text", 0)] {
        let text = format!("[dependencies]\ntidegate-{room}.workspace = true\n");
        assert_eq!(
            forbidden(&manifest("gate", &text), "").len(),
            count,
            "{room}"
        );
    }
}

#[test]
fn a_room_that_the_table_does_not_know_may_use_nothing() {
    let text = "[dependencies]\ntidegate-text.workspace = true\n";
    assert_eq!(forbidden(&manifest("cellar", text), "").len(), 1);
}

#[test]
fn a_shared_rename_does_not_hide_an_edge_or_a_heavy_crate() {
    let versions = "[workspace.dependencies]\na = { package = \"tidegate-store\", path = \"x\" }\n\
                    b = { package = \"redis\", version = \"1\" }\n";
    let text = "[dependencies]\na.workspace = true\nb.workspace = true\n";
    assert_eq!(forbidden(&manifest("text", text), versions)[0].line, 2);
    assert_eq!(strays(&manifest("text", text), versions)[0].line, 3);
}

#[test]
fn a_heavy_crate_away_from_its_home_is_found() {
    #[track_caller]
    fn check(package: &str, home: &str, away: &str) {
        let text = format!("[dependencies]\n{package} = \"1\"\n");
        assert_eq!(strays(&manifest(home, &text), ""), [], "{package} at home");
        let found = strays(&manifest(away, &text), "");
        assert_eq!(found.len(), 1, "{package} in {away}");
        assert_eq!(found[0].line, 2);
    }
    check("axum", "gate", "engine");
    check("axum-core", "gate", "provider");
    check("clap", "gate", "engine");
    check("redis", "store", "engine");
    check("rusqlite", "store", "tasks");
    check("moka", "store", "retrieval");
    check("tantivy", "retrieval", "engine");
    check("grep-searcher", "retrieval", "gate");
    check("ignore", "retrieval", "text");
    check("candle-core", "model", "guard");
    check("ort", "model", "guard");
    check("rten", "model", "retrieval");
    check("tract-onnx", "model", "engine");
    check("hyper", "provider", "engine");
    check("hyper", "gate", "store");
    check("hyper-util", "gate", "engine");
    check("hyper-rustls", "provider", "gate");
    check("rustls", "provider", "gate");
    check("reqwest", "provider", "gate");
    check("aws-sdk-bedrockruntime", "provider", "engine");
    check("anyhow", "gate", "engine");
}
