//! The chat in a real browser.

#[path = "support/browser.rs"]
mod browser;
mod support;

use browser::Driver;
use support::Program;

fn start_chat(address: &str) -> Program {
    Program::start(env!("CARGO_BIN_EXE_chat"), &[address])
}

#[tokio::test]
async fn messages_reach_the_pages_of_their_room_and_no_other() {
    let chat = start_chat("127.0.0.1:0");
    let driver = Driver::start();
    let ann = driver.page("Ann").await;
    let bob = driver.page("Bob").await;
    let eve = driver.page("Eve").await;

    ann.enter(&chat, "garden").await;
    bob.enter(&chat, "garden").await;
    eve.enter(&chat, "cellar").await;
    ann.wait_for_line("Bob joined").await;

    ann.say("The roses are out.").await;
    bob.wait_for_line("Ann: The roses are out.").await;
    bob.say("I will come and see.").await;
    for page in [&ann, &bob] {
        page.wait_for_line("Bob: I will come and see.").await;
    }
    // Whatever went astray would have come before this.
    eve.say("The potatoes sprout.").await;
    eve.wait_for_line("Eve: The potatoes sprout.").await;
    assert_eq!(
        eve.lines().await,
        ["Eve joined", "Eve: The potatoes sprout."]
    );

    ann.say("Bring a basket!").await;
    for page in [&ann, &bob] {
        page.wait_for_line("Ann: Bring a basket!").await;
    }
    let said = [
        "Bob joined",
        "Ann: The roses are out.",
        "Bob: I will come and see.",
        "Ann: Bring a basket!",
    ];
    assert_eq!(bob.lines().await, said);
    assert_eq!(ann.lines().await[1..], said, "after Ann's own arrival");

    bob.screenshot("chat.png").await;
    driver.stop([ann, bob, eve]).await;
}

#[tokio::test]
async fn what_others_write_is_shown_and_not_executed() {
    let chat = start_chat("127.0.0.1:0");
    let driver = Driver::start();
    let ann = driver.page("Ann").await;
    let mallory = driver.page("<i>Mallory<i>\"'&amp;").await;
    ann.enter(&chat, "garden").await;
    mallory.enter(&chat, "garden").await;
    let title = ann.title().await;

    let text =
        "<img src=x onerror=\"document.title='mine'\"><script>document.title='mine'</script>";
    mallory.say(text).await;
    ann.wait_for_line(&format!("{}: {text}", mallory.name))
        .await;
    // A script that had got in would have run before the next line appears.
    ann.say("Nice try.").await;
    ann.wait_for_line("Ann: Nice try.").await;
    assert_eq!(ann.title().await, title);
    let inserted = ann.count("#lines img, #lines script, #lines i").await;
    assert_eq!(inserted, 0);

    driver.stop([ann, mallory]).await;
}

#[tokio::test]
async fn pages_come_back_after_a_reload_and_after_a_restart_of_the_server() {
    let chat = start_chat("127.0.0.1:0");
    let driver = Driver::start();
    let ann = driver.page("Ann").await;
    let bob = driver.page("Bob").await;
    ann.enter(&chat, "garden").await;
    bob.enter(&chat, "garden").await;
    ann.wait_for_line("Bob joined").await;

    bob.reload().await;
    ann.wait_for_line("Bob left").await;
    bob.wait_for_state("open").await;
    bob.say("Here again.").await;
    ann.wait_for_line("Bob: Here again.").await;

    let address = chat.address.to_string();
    drop(chat);
    for page in [&ann, &bob] {
        page.wait_for_state("closed").await;
    }
    ann.type_in("Is anybody there?").await;
    let _chat = start_chat(&address);
    for page in [&ann, &bob] {
        page.wait_for_state("open").await;
    }
    // What was typed meanwhile is still there, and what was said before is still shown.
    ann.press_send().await;
    for page in [&ann, &bob] {
        page.wait_for_line("Ann: Is anybody there?").await;
        assert!(page.lines().await.contains(&"Bob: Here again.".to_owned()));
    }
    driver.stop([ann, bob]).await;
}

#[tokio::test]
async fn a_link_to_a_room_asks_for_the_name_alone() {
    let chat = start_chat("127.0.0.1:0");
    let driver = Driver::start();
    let ann = driver.page("Ann").await;
    ann.open(&chat, "/chat/garden/").await;
    assert_eq!(ann.value_of("room").await, "garden");
    ann.fill("name", "Ann").await;
    ann.press("#enter button").await;
    ann.wait_for_state("open").await;
    ann.wait_for_line("Ann joined").await;
    driver.stop([ann]).await;
}
