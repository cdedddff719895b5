//! The facade for synchronous programs.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use asgiref::{
    ChannelLayer as _, ChannelName, ChannelPattern, Error, Extension, GroupName,
    InMemoryChannelLayer, blocking, message,
};

const A: ChannelName = ChannelName::from_static("a");
const B: ChannelName = ChannelName::from_static("b");
const GROUP: GroupName = GroupName::from_static("g");

fn layer() -> blocking::ChannelLayer {
    blocking::ChannelLayer::new(InMemoryChannelLayer::new()).unwrap()
}

#[test]
fn messages_go_through() {
    let layer = layer();
    assert!(layer.try_receive(&[A]).unwrap().is_none());
    layer.send(&A, message! { "n" => 1 }).unwrap();
    layer.send(&A, message! { "n" => 2 }).unwrap();
    assert_eq!(layer.receive(&[B, A]).unwrap(), (A, message! { "n" => 1 }));
    assert_eq!(
        layer.try_receive(&[A]).unwrap(),
        Some((A, message! { "n" => 2 }))
    );
    let name = layer
        .new_channel(&ChannelPattern::from_static("x?"))
        .unwrap();
    assert!(name.as_str().starts_with("x?"));
    assert!(layer.is_process_local());
    assert_eq!(layer.to_string(), "InMemoryChannelLayer");
}

#[test]
fn extensions_go_through() {
    let layer = layer();
    let all = BTreeSet::from([Extension::Flush, Extension::Groups, Extension::Statistics]);
    assert_eq!(layer.extensions(), all);
    assert_eq!(layer.group_expiry().unwrap(), Duration::from_secs(86_400));
    layer.group_add(&GROUP, &A).unwrap();
    layer.group_add(&GROUP, &B).unwrap();
    layer.group_discard(&GROUP, &B).unwrap();
    assert_eq!(layer.group_channels(&GROUP).unwrap(), BTreeSet::from([A]));
    layer.send_group(&GROUP, message! { "n" => 1 }).unwrap();
    assert_eq!(layer.channel_statistics(&A).unwrap().messages_pending, 1);
    assert_eq!(layer.global_statistics().unwrap().messages_pending, 1);
    layer.flush().unwrap();
    assert!(layer.try_receive(&[A]).unwrap().is_none());
}

#[test]
fn errors_go_through() {
    let one = InMemoryChannelLayer::builder().capacity(1).build().unwrap();
    let layer = blocking::ChannelLayer::new(one).unwrap();
    layer.send(&A, message! {}).unwrap();
    assert!(layer.send(&A, message! {}).unwrap_err().is_channel_full());
    let local = ChannelName::from_static("a!b");
    assert!(matches!(
        layer.receive(&[local]),
        Err(Error::InvalidName { .. })
    ));
    let failed = blocking::ChannelLayer::open(|| async { InMemoryChannelLayer::from_url("x:") });
    assert!(matches!(failed, Err(Error::Config { .. })));
}

#[test]
fn a_limited_wait_ends_and_takes_nothing() {
    let layer = layer();
    let short = Duration::from_millis(1);
    assert!(layer.receive_timeout(&[A], short).unwrap().is_none());
    assert!(
        layer
            .receive_timeout(&[], Duration::ZERO)
            .unwrap()
            .is_none()
    );
    layer.send(&A, message! {}).unwrap();
    assert!(
        layer
            .receive_timeout(&[A], Duration::MAX)
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_receive_waits_for_another_thread() {
    let layer = layer();
    let (done, results) = mpsc::channel();
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            let (layer, done) = (layer.clone(), done.clone());
            thread::spawn(move || done.send(layer.receive(&[A, B]).unwrap()))
        })
        .collect();
    for n in 0..4 {
        let channel = if n % 2 == 0 { A } else { B };
        layer.send(&channel, message! { "n" => n }).unwrap();
    }
    let received: BTreeSet<i64> = (0..4)
        .map(|_| results.recv().unwrap().1.int("n").unwrap())
        .collect();
    assert_eq!(received, BTreeSet::from([0, 1, 2, 3]));
    for receiver in receivers {
        receiver.join().unwrap().unwrap();
    }
}

#[test]
fn one_handle_serves_many_threads() {
    let layer = layer();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let pattern = ChannelPattern::from_static("thread?");
                let channel = layer.new_channel(&pattern).unwrap();
                for n in 0..100 {
                    layer.send(&channel, message! { "n" => n }).unwrap();
                    let (_, message) = layer.receive(std::slice::from_ref(&channel)).unwrap();
                    assert_eq!(message.int("n").unwrap(), n);
                }
            });
        }
    });
}

#[test]
fn background_work_of_the_layer_is_done() {
    let (task_ran, result) = mpsc::channel();
    let layer = blocking::ChannelLayer::open(|| async move {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            task_ran.send(()).unwrap();
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(InMemoryChannelLayer::new())
    });
    // No method is called: the task has only the facade's own thread to run on.
    result.recv_timeout(Duration::from_secs(60)).unwrap();
    drop(layer.unwrap());
}

#[test]
fn an_asynchronous_handle_shares_the_layer() {
    let memory = InMemoryChannelLayer::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let layer = blocking::ChannelLayer::with_handle(memory.clone(), runtime.handle().clone());
    let echo = runtime.spawn(async move {
        let (_, message) = memory.receive(&[A]).await.unwrap();
        memory.send(&B, message).await.unwrap();
    });
    layer.send(&A, message! { "n" => 1 }).unwrap();
    assert_eq!(layer.receive(&[B]).unwrap(), (B, message! { "n" => 1 }));
    runtime.block_on(echo).unwrap();
}

#[test]
fn inside_a_task_it_is_an_error() {
    let check = |layer: &blocking::ChannelLayer| {
        for _ in 0..3 {
            let error = layer.receive(&[A]).unwrap_err();
            assert!(matches!(error, Error::BlockingInAsync), "{error}");
            assert!(error.to_string().contains("`spawn_blocking`"));
        }
        assert!(layer.send(&A, message! {}).is_err());
        assert!(tokio::task::coop::has_budget_remaining());
    };
    let layer = layer();
    for mut builder in [
        tokio::runtime::Builder::new_current_thread(),
        tokio::runtime::Builder::new_multi_thread(),
    ] {
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(async { check(&layer) });
        let in_task = layer.clone();
        runtime
            .block_on(runtime.spawn(async move { check(&in_task) }))
            .unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async { check(&layer) });
    }
    assert!(layer.try_receive(&[A]).unwrap().is_none());
}

#[test]
fn in_threads_made_for_blocking_it_works() {
    let works = |layer: &blocking::ChannelLayer| {
        layer.send(&A, message! {}).unwrap();
        layer.receive(&[A]).unwrap();
    };
    let layer = layer();
    for mut builder in [
        tokio::runtime::Builder::new_current_thread(),
        tokio::runtime::Builder::new_multi_thread(),
    ] {
        let runtime = builder.enable_all().build().unwrap();
        let in_task = layer.clone();
        runtime
            .block_on(runtime.spawn_blocking(move || works(&in_task)))
            .unwrap();
        let _entered = runtime.enter();
        works(&layer);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async { tokio::task::block_in_place(|| works(&layer)) });
}

#[test]
fn dropping_the_last_handle_inside_a_task_is_harmless() {
    let layer = layer();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async move { drop(layer) });
}
