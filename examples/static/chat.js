// The browser's side of the chat. No library, no build step.
//
// The room is in the page's address, /chat/ROOM/, and the WebSocket is at /chat/ROOM/NAME/.
// A frame to the server is what was typed. A frame from the server is JSON:
//   {"kind": "join" | "leave", "name": "Ann"}
//   {"kind": "message", "name": "Ann", "text": "Hello"}
"use strict";

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 15_000;
// A try that got no answer by then counts as failed.
const CONNECT_TIMEOUT_MS = 10_000;
const MOST_LINES = 500;

const byId = (id) => document.getElementById(id);

document.addEventListener("DOMContentLoaded", () => {
  const room = (location.pathname.match(/^\/chat\/([A-Za-z0-9_-]+)\/$/) || [])[1] || "";
  // The name belongs to the tab, so that two tabs can be two people; a new tab is offered the
  // latest one.
  const name = sessionStorage.getItem("name") || "";
  if (room && name) {
    showChat(room, name);
  } else {
    showLobby(room, name || localStorage.getItem("name") || "");
  }
});

function showLobby(knownRoom, knownName) {
  byId("room").value = knownRoom;
  byId("name").value = knownName;
  byId("lobby").hidden = false;
  byId(knownRoom ? "name" : "room").focus();

  byId("room").addEventListener("input", (event) => {
    const field = event.target;
    const at = field.selectionStart;
    field.value = field.value.replace(/\s/g, "-");
    field.setSelectionRange(at, at);
  });
  byId("enter").addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = byId("name").value.trim();
    sessionStorage.setItem("name", chosen);
    localStorage.setItem("name", chosen);
    location.assign(`/chat/${byId("room").value}/`);
  });
}

function showChat(room, name) {
  document.title = `${room} – Chat`;
  byId("room-title").textContent = room;
  byId("own-name").textContent = name;
  byId("chat").hidden = false;
  byId("text").focus();

  const log = new Log(name);
  const connection = new Connection(room, name, (frame) => log.show(frame));

  byId("compose").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = byId("text").value.trim();
    // What was typed stays in the field until it could be sent.
    if (text && connection.send(text)) {
      byId("text").value = "";
    }
    byId("text").focus();
  });
}

// A WebSocket that comes back: after a failure it waits, twice as long each time, and a random
// part of it so that a thousand pages do not all return in the same instant.
class Connection {
  constructor(room, name, onFrame) {
    const url = new URL(`/chat/${room}/${encodeURIComponent(name)}/`, location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.url = url.href;
    this.onFrame = onFrame;
    this.failures = 0;
    this.open();
    // No need to wait for the timer when the network, or the reader, comes back.
    window.addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
  }

  open() {
    this.timer = null;
    this.status("connecting", this.failures ? "reconnecting…" : "connecting…");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    const patience = setTimeout(() => socket.close(), CONNECT_TIMEOUT_MS);
    socket.onopen = () => {
      clearTimeout(patience);
      this.failures = 0;
      this.status("open", "connected");
    };
    socket.onmessage = (event) => this.onFrame(JSON.parse(event.data));
    socket.onclose = () => {
      clearTimeout(patience);
      this.retryLater();
    };
  }

  send(text) {
    if (this.socket.readyState !== WebSocket.OPEN) {
      return false;
    }
    this.socket.send(text);
    return true;
  }

  retryLater() {
    const longest = Math.min(FIRST_RETRY_MS * 2 ** this.failures, LONGEST_RETRY_MS);
    const wait = longest / 2 + Math.random() * longest / 2;
    this.failures += 1;
    this.status("closed", `offline, next try in ${Math.ceil(wait / 1000)} s`);
    this.timer = setTimeout(() => this.open(), wait);
  }

  retryNow() {
    if (this.timer !== null) {
      clearTimeout(this.timer);
      this.open();
    }
  }

  status(state, text) {
    byId("status").dataset.state = state;
    byId("status").textContent = text;
    byId("send").disabled = state !== "open";
  }
}

// The lines of the conversation. Everything from the network goes in as textContent, never as
// HTML, so nobody can write markup or script into another reader's page.
class Log {
  constructor(ownName) {
    this.ownName = ownName;
    this.list = byId("lines");
    this.scroller = byId("scroller");
    this.newer = byId("newer");
    this.newer.addEventListener("click", () => this.toEnd());
    this.scroller.addEventListener("scroll", () => {
      if (this.atEnd()) {
        this.newer.hidden = true;
      }
    });
    // The keyboard of a phone, or a turned phone, must not hide the latest line.
    let follow = true;
    this.scroller.addEventListener("scroll", () => (follow = this.atEnd()));
    new ResizeObserver(() => follow && this.toEnd()).observe(this.scroller);
  }

  show(frame) {
    const line = frame.kind === "message" ? this.message(frame) : this.event(frame);
    const follow = this.atEnd() || frame.name === this.ownName;
    this.list.append(line);
    while (this.list.childElementCount > MOST_LINES) {
      this.list.firstElementChild.remove();
    }
    if (follow) {
      this.toEnd();
    } else {
      this.newer.hidden = false;
    }
  }

  message({ name, text }) {
    const line = element("li", "message");
    line.classList.toggle("mine", name === this.ownName);
    const now = new Date();
    const time = element("time", "", now.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
    time.dateTime = now.toISOString();
    line.append(element("span", "who", name), time, element("div", "text", text));
    return line;
  }

  event({ kind, name }) {
    return element("li", "event", `${name} ${kind === "join" ? "joined" : "left"}`);
  }

  atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < 40;
  }

  toEnd() {
    this.newer.hidden = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
