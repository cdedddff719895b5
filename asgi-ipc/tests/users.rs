//! Segments and users: who may use one, and what others are told.
//!
//! Processes of other users can be started by the superuser only: run the tests as root, as a
//! container does, or those that need one fail and say so.

#[path = "support/child.rs"]
mod child;
mod support;

use std::error::Error as _;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Child;

use asgi_ipc::IpcChannelLayer;
use asgiref::{ChannelLayer as _, ChannelName, message};
use tempfile::TempDir;

use child::Parent;
use support::Segments;

const TO_VISITOR: ChannelName = ChannelName::from_static("to.visitor");
const TO_OWNER: ChannelName = ChannelName::from_static("to.owner");
/// Nobody, as a user and as a group.
const NOBODY: u32 = 65_534;

fn open(directory: &Path, mode: u32) -> asgiref::Result<IpcChannelLayer> {
    IpcChannelLayer::builder()
        .directory(directory)
        .message_memory(1 << 20)
        .group_memory(1 << 20)
        .file_mode(mode)
        .build()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

// ---- Processes of another user

#[test]
#[ignore = "a process of the tests below"]
fn visit_a_segment_that_is_not_shared() {
    visit(0o600);
}

#[test]
#[ignore = "a process of the tests below"]
fn visit_a_segment_that_is_shared() {
    visit(0o660);
}

/// Says what happens, and if the layer opens answers a message.
fn visit(mode: u32) {
    let (mut parent, directory) = child::connect();
    match open(&directory, mode) {
        Err(error) => {
            let cause = error.source().expect("it says what the matter is");
            let system = cause.source().map(ToString::to_string).unwrap_or_default();
            writeln!(parent, "{cause}: {system}").unwrap();
        }
        Ok(layer) => {
            writeln!(parent, "open").unwrap();
            runtime().block_on(async {
                let (_, received) = layer.receive(&[TO_VISITOR]).await.unwrap();
                layer.send(&TO_OWNER, received).await.unwrap();
            });
        }
    }
}

/// Another user, in a place others can get to.
struct Visitor {
    segments: Segments,
    parent: Parent,
    /// With a copy of this program, which may be where others must not look.
    _programs: TempDir,
}

impl Visitor {
    fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test starts processes of another user: run it as root"
        );
        let segments = Segments::new();
        let everybody = |path: &Path| {
            fs::set_permissions(path, Permissions::from_mode(0o777)).expect("it is ours");
        };
        everybody(segments.path());
        let mut parent = Parent::new(segments.path());
        everybody(&segments.path().join("parent"));
        let programs = TempDir::new().expect("a directory can be made");
        everybody(programs.path());
        let program = std::env::current_exe().expect("this program has a file");
        parent.program = programs.path().join("visitor");
        fs::copy(program, &parent.program).expect("there is room for a copy");
        Self {
            segments,
            parent,
            _programs: programs,
        }
    }

    /// Starts a process as nobody, in that group, and returns what it says of the layer.
    fn visits(&mut self, role: &str, group: u32) -> (Child, String) {
        self.parent.identity = Some((NOBODY, group));
        let process = self.parent.spawn(role);
        let (stream, _) = self.parent.listener.accept().expect("the child connects");
        let mut said = String::new();
        BufReader::new(stream)
            .read_line(&mut said)
            .expect("the child says something");
        (process, said)
    }
}

#[test]
fn a_segment_that_is_not_shared_is_closed_to_others() {
    let mut visitor = Visitor::new();
    let _layer = open(visitor.segments.path(), 0o600).unwrap();
    let (mut process, said) = visitor.visits("visit_a_segment_that_is_not_shared", NOBODY);
    assert!(said.contains("cannot open"), "{said}");
    assert!(said.contains("Permission denied"), "{said}");
    assert!(process.wait().unwrap().success());
}

#[test]
fn a_segment_of_another_user_is_refused_by_those_who_do_not_mean_to_share() {
    let mut visitor = Visitor::new();
    let _layer = open(visitor.segments.path(), 0o660).unwrap();
    // Group 0 may open the file, but whoever made it could have put anything there.
    let (mut process, said) = visitor.visits("visit_a_segment_that_is_not_shared", 0);
    assert!(
        said.contains("belongs to the user with the number 0"),
        "{said}"
    );
    assert!(said.contains("file_mode"), "{said}");
    assert!(process.wait().unwrap().success());
}

#[test]
fn a_segment_can_be_shared_with_a_group_of_users() {
    let mut visitor = Visitor::new();
    let layer = open(visitor.segments.path(), 0o660).unwrap();
    let (mut process, said) = visitor.visits("visit_a_segment_that_is_shared", 0);
    assert_eq!(said, "open\n");
    runtime().block_on(async {
        let question = message! { "k" => 1 };
        layer.send(&TO_VISITOR, question.clone()).await.unwrap();
        // It is woken over the pipe of a process of another user, and so is this one.
        let (_, answer) = layer.receive(&[TO_OWNER]).await.unwrap();
        assert_eq!(answer, question);
    });
    assert!(process.wait().unwrap().success());
}

// ---- Permissions, whoever runs this

#[test]
fn files_have_the_permissions_that_were_asked_for() {
    for mode in [0o600, 0o660, 0o666] {
        let segments = Segments::new();
        let layer = open(segments.path(), mode).unwrap();
        let mut files = 0;
        for entry in fs::read_dir(segments.path()).unwrap() {
            let entry = entry.unwrap();
            let found = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{:?}", entry.path());
            files += 1;
        }
        assert_eq!(files, 2, "the segment, and the pipe of its client");
        drop(layer);
    }
}
