//! The vote, by WebSocket clients.

mod support;

use futures_util::SinkExt as _;
use serde_json::json;
use support::{Program, Socket, next_json, open};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};

fn vote() -> Program {
    Program::start(env!("CARGO_BIN_EXE_vote"), &["127.0.0.1:0"])
}

/// A socket that was told the choices.
async fn voter(vote: &Program) -> Socket {
    let mut socket = open(vote, "/").await.expect("it is accepted");
    assert_eq!(
        next_json(&mut socket, "a voter").await,
        json!({"choices": ["coffee", "tea", "water"]})
    );
    socket
}

async fn say(socket: &mut Socket, text: &str) {
    let sent = socket.send(Message::text(text)).await;
    sent.expect("the connection is open");
}

#[tokio::test]
async fn every_voter_is_told_the_count() {
    let vote = vote();
    let mut ann = voter(&vote).await;
    let mut bob = voter(&vote).await;
    for (choice, tea, water) in [("tea", 1, 0), ("water", 1, 1), ("tea", 2, 1)] {
        say(&mut ann, &json!({"choice": choice}).to_string()).await;
        for socket in [&mut ann, &mut bob] {
            assert_eq!(
                next_json(socket, "a voter").await,
                json!({"coffee": 0, "tea": tea, "water": water})
            );
        }
    }
}

#[tokio::test]
async fn what_is_no_vote_is_answered_and_what_is_no_choice_does_not_count() {
    let vote = vote();
    let mut ann = voter(&vote).await;
    for text in ["tea", "[]", "{\"choice\": 3}"] {
        say(&mut ann, text).await;
        assert_eq!(
            next_json(&mut ann, "Ann").await,
            json!({"error": "this is not a vote"})
        );
    }
    say(&mut ann, "{\"choice\": \"beer\"}").await;
    // If that counted, its count would come before or make this a different one.
    say(&mut ann, "{\"choice\": \"tea\"}").await;
    assert_eq!(
        next_json(&mut ann, "Ann").await,
        json!({"coffee": 0, "tea": 1, "water": 0})
    );
}

#[tokio::test]
async fn pages_of_other_sites_are_turned_away() {
    let vote = vote();
    let own = format!("http://{}", vote.address);
    for (origin, is_welcome) in [(&*own, true), ("http://elsewhere.example", false)] {
        let mut request = format!("ws://{}/", vote.address)
            .into_client_request()
            .expect("the address is right");
        let origin = origin.parse().expect("it can be a header");
        request.headers_mut().insert("origin", origin);
        match tokio_tungstenite::connect_async(request).await {
            Ok(_) => assert!(is_welcome),
            Err(tungstenite::Error::Http(response)) => {
                assert!(!is_welcome);
                assert_eq!(response.status(), 403);
            }
            Err(error) => panic!("{error}"),
        }
    }
}
