//! Files that are not segments, or not any more, and segments that something else writes to: there
//! is a clear error, or the damage is repaired; nothing ends the process.

mod support;

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use asgi_ipc::{Error, IpcChannelLayer, IpcChannelLayerBuilder, inspect};
use asgiref::{ChannelLayer as _, ChannelLayerExt as _, ChannelName, GroupName, message};
use proptest::prelude::*;

use support::Segments;

const MESSAGE_MEMORY: u64 = 256 << 10;
const GROUP_MEMORY: u64 = 64 << 10;

fn builder(directory: &Path) -> IpcChannelLayerBuilder {
    IpcChannelLayer::builder()
        .directory(directory)
        .prefix("s")
        .message_memory(MESSAGE_MEMORY)
        .group_memory(GROUP_MEMORY)
}

fn file(segments: &Segments) -> PathBuf {
    segments.path().join("asgi-ipc.s")
}

/// What this crate says of a layer that cannot be opened.
fn fault(builder: IpcChannelLayerBuilder) -> String {
    let error = builder.build().expect_err("it cannot be opened");
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    let cause: &Error = cause.unwrap_or_else(|| panic!("an error of this crate, not {error:?}"));
    cause.to_string()
}

#[test]
fn a_segment_of_another_size_is_refused_and_left_alone() {
    let segments = Segments::new();
    let layer = builder(segments.path()).build().unwrap();
    let before = fs::metadata(file(&segments)).unwrap().len();
    for (other, option) in [
        (
            builder(segments.path()).message_memory(1 << 20),
            "message_memory",
        ),
        (
            builder(segments.path()).group_memory(1 << 20),
            "group_memory",
        ),
    ] {
        let text = fault(other);
        assert!(text.contains(option), "{text}");
    }
    assert_eq!(fs::metadata(file(&segments)).unwrap().len(), before);
    drop(layer);
    builder(segments.path()).build().expect("its own size");
}

#[test]
fn what_is_no_segment_is_refused_and_left_alone() {
    let whole = {
        let segments = Segments::new();
        builder(segments.path()).build().unwrap();
        fs::read(file(&segments)).unwrap()
    };
    let changed = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    for (what, content) in [
        ("a text", b"not a segment".to_vec()),
        (
            "a pickle",
            [b"\x80\x02}q\x00.".as_slice(), &[0; 100_000]].concat(),
        ),
        ("a longer text", b"nothing of the kind ".repeat(1000)),
        ("a segment cut off in its header", whole[..100].to_vec()),
        ("a segment cut off after its header", whole[..4096].to_vec()),
        (
            "a segment cut off by a byte",
            whole[..whole.len() - 1].to_vec(),
        ),
        ("a segment and a byte", [whole.as_slice(), b"x"].concat()),
        ("another magic number", changed(0, b'b')),
        ("another version", changed(8, 200)),
        ("another order of bytes", changed(12, 0xff)),
        ("another size in the header", changed(16, 1)),
        ("another sum", changed(56, whole[56] ^ 1)),
    ] {
        let segments = Segments::new();
        fs::write(file(&segments), &content).unwrap();
        let text = fault(builder(segments.path()));
        assert!(text.contains("is not a segment"), "{what}: {text}");
        assert_eq!(fs::read(file(&segments)).unwrap(), content, "{what}");
    }
}

#[test]
fn a_link_or_a_pipe_is_not_followed() {
    let segments = Segments::new();
    let elsewhere = segments.path().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, file(&segments)).unwrap();
    assert!(fault(builder(segments.path())).contains("cannot open"));
    assert!(!elsewhere.exists());
}

#[test]
fn a_segment_whose_maker_died_is_made_anew() {
    let segments = Segments::new();
    for left in [0, 10_000] {
        let half = File::create(file(&segments)).unwrap();
        half.set_len(left).unwrap();
        builder(segments.path()).build().expect("a segment");
        fs::remove_file(file(&segments)).unwrap();
    }
}

#[test]
fn a_segment_that_does_not_fit_is_not_made() {
    let segments = Segments::new();
    let text = fault(builder(segments.path()).message_memory(60 << 30));
    assert!(
        text.contains("message_memory") && text.contains("--shm-size"),
        "{text}"
    );
    assert!(!file(&segments).exists());
}

#[test]
fn permissions_are_as_configured_whatever_the_mask() {
    for mode in [0o600, 0o660, 0o666] {
        let segments = Segments::new();
        let _layer = builder(segments.path()).file_mode(mode).build().unwrap();
        for entry in fs::read_dir(segments.path()).unwrap() {
            let permissions = entry.unwrap().metadata().unwrap().permissions();
            assert_eq!(permissions.mode() & 0o777, mode);
        }
    }
}

#[test]
fn many_that_begin_at_once_find_one_segment() {
    const OPENERS: usize = 24;
    for _ in 0..10 {
        let segments = Segments::new();
        let barrier = Arc::new(Barrier::new(OPENERS));
        let openers: Vec<_> = (0..OPENERS)
            .map(|_| {
                let (barrier, directory) = (Arc::clone(&barrier), segments.path().to_owned());
                std::thread::spawn(move || {
                    barrier.wait();
                    builder(&directory).capacity(OPENERS).build().unwrap()
                })
            })
            .collect();
        let layers: Vec<_> = openers
            .into_iter()
            .map(|opener| opener.join().unwrap())
            .collect();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let channel = ChannelName::from_static("c");
            for layer in &layers {
                layer.send(&channel, message! {}).await.unwrap();
            }
            for _ in 0..OPENERS {
                assert!(
                    layers[0]
                        .try_receive(std::slice::from_ref(&channel))
                        .await
                        .unwrap()
                        .is_some()
                );
            }
        });
        let found = inspect::inspect(segments.path(), "s").unwrap();
        assert_eq!(found.clients.len(), OPENERS);
    }
}

#[test]
fn a_segment_in_use_is_removed_by_force_only() {
    let segments = Segments::new();
    let layer = builder(segments.path()).build().unwrap();
    assert_eq!(inspect::list(segments.path()).unwrap(), ["s"]);
    let refused = inspect::remove(segments.path(), "s", false);
    assert!(
        matches!(refused, Err(Error::InUse { clients: 1, .. })),
        "{refused:?}"
    );
    drop(layer);
    inspect::remove(segments.path(), "s", false).unwrap();
    assert_eq!(fs::read_dir(segments.path()).unwrap().count(), 0);

    fs::write(file(&segments), "garbage").unwrap();
    assert!(inspect::remove(segments.path(), "s", false).is_err());
    inspect::remove(segments.path(), "s", true).unwrap();
    assert_eq!(fs::read_dir(segments.path()).unwrap().count(), 0);
}

#[test]
fn memory_that_is_full_is_channel_full_and_recovers() {
    let segments = Segments::new();
    let layer = builder(segments.path())
        .capacity(1_000_000)
        .build()
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let channel = ChannelName::from_static("c");
        for _ in 0..3 {
            let mut sent = 0;
            let error = loop {
                match layer
                    .send(&channel, message! { "k" => "x".repeat(1000) })
                    .await
                {
                    Ok(()) => sent += 1,
                    Err(error) => break error,
                }
            };
            assert!(error.is_channel_full(), "{error}");
            assert!(sent > 100, "{sent} messages of 1000 bytes in 256 KiB");
            for _ in 0..sent {
                assert!(
                    layer
                        .try_receive(std::slice::from_ref(&channel))
                        .await
                        .unwrap()
                        .is_some()
                );
            }
            assert!(
                layer
                    .try_receive(std::slice::from_ref(&channel))
                    .await
                    .unwrap()
                    .is_none()
            );
        }
        let group = GroupName::from_static("g");
        let groups = layer.require_groups().unwrap();
        let mut added = 0;
        let error = loop {
            let member = ChannelName::new(format!("p!{added}")).unwrap();
            match groups.group_add(&group, &member).await {
                Ok(()) => added += 1,
                Err(error) => break error,
            }
        };
        let text = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(text.contains("group_memory"), "{text}");
        assert!(added > 100, "{added} members in 64 KiB");
        groups
            .group_discard(&group, &ChannelName::from_static("p!7"))
            .await
            .unwrap();
        groups
            .group_add(&group, &ChannelName::from_static("p!new"))
            .await
            .unwrap();
    });
}

/// Does a little of everything; errors are allowed, nothing else.
async fn use_whatever_is_there(layer: &IpcChannelLayer) {
    let channels = ["a", "b?c", "p!"].map(ChannelName::from_static);
    let targets = ["a", "b?c", "p!x"].map(ChannelName::from_static);
    let group = GroupName::from_static("g");
    let groups = layer.require_groups().unwrap();
    for round in 0..3 {
        for target in &targets {
            let _ = layer
                .send(target, message! { "k" => "v".repeat(round * 300) })
                .await;
            let _ = groups.group_add(&group, target).await;
        }
        let _ = groups.send_group(&group, message! { "k" => 1 }).await;
        for _ in 0..10 {
            let _ = layer.try_receive(&channels).await;
        }
        let wait = Duration::from_millis(2);
        let _ = tokio::time::timeout(wait, layer.receive(&channels)).await;
        let members: Result<BTreeSet<_>, _> = groups.group_channels(&group).await;
        drop(members);
        let statistics = layer.require_statistics().unwrap();
        let _ = statistics.global_statistics().await;
        let _ = groups.group_discard(&group, &targets[0]).await;
    }
}

/// Where somebody writes: anywhere, but for the words that say that it is a segment.
fn scribbles() -> impl Strategy<Value = Vec<(usize, Vec<u8>)>> {
    let content = prop_oneof![
        Just(vec![0xff; 4]),
        Just(vec![0; 8]),
        (0u32..600).prop_map(|number| number.to_ne_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 1..64),
    ];
    // Where the header and the first records of each table are, and anywhere.
    let place = prop_oneof![
        128usize..1200,
        4096usize..8192,
        200_704usize..240_000,
        128usize..500_000
    ];
    proptest::collection::vec((place, content), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn whatever_is_written_into_a_segment_ends_nobody(scribbles in scribbles()) {
        let segments = Segments::new();
        let layer = builder(segments.path()).build().unwrap();
        let scribbled = File::options().write(true).open(file(&segments)).unwrap();
        let size = scribbled.metadata().unwrap().len() as usize;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            use_whatever_is_there(&layer).await;
            for (at, bytes) in scribbles {
                let at = at.min(size - bytes.len());
                scribbled.write_all_at(&bytes, at as u64).unwrap();
                use_whatever_is_there(&layer).await;
            }
            // Flushed, it is as new.
            layer.require_flush().unwrap().flush().await.unwrap();
            let channel = ChannelName::from_static("after");
            layer.send(&channel, message! { "k" => 1 }).await.unwrap();
            let received = layer.receive(std::slice::from_ref(&channel)).await.unwrap();
            assert_eq!(received, (channel, message! { "k" => 1 }));
        });
    }

    #[test]
    fn a_segment_with_other_bytes_opens_or_is_refused(
        start in 0usize..4200,
        bytes in proptest::collection::vec(any::<u8>(), 1..2000),
        cut in proptest::option::of(0u64..400_000),
    ) {
        let segments = Segments::new();
        drop(builder(segments.path()).build().unwrap());
        let file = File::options().write(true).open(file(&segments)).unwrap();
        if let Some(cut) = cut {
            file.set_len(cut).unwrap();
        }
        file.write_all_at(&bytes, start as u64).unwrap();
        if let Ok(layer) = builder(segments.path()).build() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(use_whatever_is_there(&layer));
        }
    }
}
