//! Membership: what is a member, once, and of what.

use asgiref::{ChannelLayer, Groups, InMemoryChannelLayer};

use crate::{channel, drain, group, number};

#[tokio::test]
async fn a_member_added_twice_gets_a_message_once() {
    let layer = InMemoryChannelLayer::new();
    for name in [
        "normal",
        "process!1",
        "process!1",
        "process!2",
        "normal",
        "process!2",
    ] {
        layer.group_add(&group("g"), &channel(name)).await.unwrap();
    }
    layer.send_group(&group("g"), number(1)).await.unwrap();
    assert_eq!(drain(&layer, &[channel("normal")]).await, [1]);
    assert_eq!(drain(&layer, &[channel("process!")]).await, [1, 1]);
    layer
        .group_discard(&group("g"), &channel("process!1"))
        .await
        .unwrap();
    layer.send_group(&group("g"), number(2)).await.unwrap();
    let (from, _) = layer
        .try_receive(&[channel("process!")])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(from, "process!2");
}

#[tokio::test]
async fn what_is_no_member_is_discarded_without_harm() {
    let layer = InMemoryChannelLayer::new();
    layer
        .group_discard(&group("g"), &channel("a"))
        .await
        .unwrap();
    layer
        .group_add(&group("g"), &channel("process!1"))
        .await
        .unwrap();
    for name in ["a", "process!2", "process!"] {
        layer
            .group_discard(&group("g"), &channel(name))
            .await
            .unwrap();
    }
    let members = layer.group_channels(&group("g")).await.unwrap();
    assert_eq!(Vec::from_iter(members), ["process!1"]);
}

#[tokio::test]
async fn a_message_changed_after_the_group_send_arrives_as_it_was() {
    let layer = InMemoryChannelLayer::new();
    layer.group_add(&group("g"), &channel("a")).await.unwrap();
    let mut message = number(1);
    layer
        .send_group(&group("g"), message.clone())
        .await
        .unwrap();
    message.insert("number", 2);
    assert_eq!(drain(&layer, &[channel("a")]).await, [1]);
}

#[tokio::test]
async fn a_process_gets_the_messages_of_one_writer_in_order() {
    let layer = InMemoryChannelLayer::new();
    for local in 0..5 {
        let member = channel(&format!("process!{local}"));
        layer.group_add(&group("g"), &member).await.unwrap();
    }
    for at in 0..10 {
        layer.send_group(&group("g"), number(at)).await.unwrap();
        layer.send(&channel("process!0"), number(at)).await.unwrap();
    }
    let received = drain(&layer, &[channel("process!")]).await;
    assert_eq!(received.len(), 60);
    assert!(received.is_sorted());
}
