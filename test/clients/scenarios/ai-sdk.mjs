/**
 * The AI SDK's chat, which `useChat` is made of, at a gateway: `node ai-sdk.mjs NAME …` plays scenarios, each with a user of its own, and prints as
 * JSON what the client had in the end. It holds no opinion, and runs with any version of `ai` beside it.
 */
import { AbstractChat, DefaultChatTransport } from 'ai';

const { INNKEEPER_URL: url, INNKEEPER_KEY: key, INNKEEPER_USER: prefix } = process.env;

/** A chat as a page has one; `states` are the words of what it went through, and `until` waits for the first state that is as wanted. */
class Chat extends AbstractChat {
  constructor({ user, messages = [], headers = {}, credential = key, ...init }) {
    const listeners = new Set();
    const held = { status: 'ready', error: undefined, messages };
    const changed = () => [...listeners].forEach((listener) => listener());
    const set = (name) => ({
      get: () => held[name],
      set: (value) => {
        held[name] = value;
        changed();
      },
    });
    const state = Object.defineProperties(
      {
        pushMessage: (message) => (state.messages = [...held.messages, message]),
        popMessage: () => (state.messages = held.messages.slice(0, -1)),
        replaceMessage: (index, message) => (state.messages = held.messages.with(index, structuredClone(message))),
        snapshot: (value) => structuredClone(value),
      },
      { status: set('status'), error: set('error'), messages: set('messages') },
    );
    const api = `${url}/v1/users/${user}/ai-sdk/chat`;
    const transport = new DefaultChatTransport({ api, headers: { authorization: `Bearer ${credential}`, ...headers } });
    const data = [];
    super({ ...init, id: 'main', state, transport, onError: () => undefined, onData: (part) => data.push(part) });
    this.user = user;
    this.data = data;
    this.listeners = listeners;
    this.states = [];
    listeners.add(() => {
      const last = this.lastMessage?.parts.at(-1);
      const word =
        last === undefined
          ? this.status
          : [last.type, last.state, last.preliminary && 'preliminary'].filter(Boolean).join(' ');
      if (this.states.at(-1) !== word) this.states.push(word);
    });
  }

  until(condition) {
    return new Promise((resolve) => {
      const look = () => {
        if (!condition(this.lastMessage, this)) return;
        this.listeners.delete(look);
        resolve();
      };
      this.listeners.add(look);
      look();
    });
  }

  seen() {
    const { user, status, error, messages, states, data } = this;
    return { user, status, error: error?.message, messages, states, data };
  }
}

const ask = async (path, init = {}) => {
  const answer = await fetch(`${url}/v1/users/${path}`, { ...init, headers: { authorization: `Bearer ${key}` } });
  return answer.json();
};
const load = async (user) => (await ask(`${user}/ai-sdk/chat/main/messages`)).items;
const say = async (chat, text) => {
  await chat.sendMessage({ text });
  return { ...chat.seen(), loaded: await load(chat.user) };
};
const hasText = (message) =>
  message?.role === 'assistant' && message.parts.some(({ type, text }) => type === 'text' && text !== '');
const hasPrinted = (message) => message?.role === 'assistant' && message.parts.some(({ preliminary }) => preliminary);

const SLOW = '!model pace 500\n$ seq 1 60';
const LONG = '$ echo begun; sleep 300';

const scenarios = {
  plain: (user) => say(new Chat({ user }), 'hello'),
  command: (user) => say(new Chat({ user }), '$ for i in 1 2 3; do echo "line $i"; sleep 0.5; done'),
  failed: (user) => say(new Chat({ user }), '!model refuse'),
  regenerated: async (user) => {
    const chat = new Chat({ user });
    await chat.sendMessage({ text: 'hello' });
    await chat.regenerate();
    return chat.seen();
  },
  /** The model breaks off, and says something else when it is asked again. */
  retold: (user) => say(new Chat({ user }), '!model pace 1000\n$ echo x\n!model reset'),
  /** One message, sent twice at once and once more when it is answered. */
  repeated: async (user) => {
    const message = { id: 'm1', role: 'user', parts: [{ type: 'text', text: '$ echo once >> ~/once.txt' }] };
    const chats = [1, 2, 3].map(() => new Chat({ user }));
    await Promise.all(chats.slice(0, 2).map((chat) => chat.sendMessage(message)));
    await chats[2].sendMessage(message);
    return { user, chats: chats.map((chat) => chat.seen()) };
  },
  /** A page is left in the middle of an answer, and opened again. */
  resumed: async (user) => {
    const left = new Chat({ user });
    const sent = left.sendMessage({ text: SLOW });
    await left.until(hasText);
    await left.stop();
    await sent;
    const messages = await load(user);
    const opened = new Chat({ user, messages });
    await opened.resumeStream();
    const idle = new Chat({ user });
    await idle.resumeStream();
    return { ...opened.seen(), left: left.seen(), reopened: messages, loaded: await load(user), idle: idle.seen() };
  },
  /** What is to be followed is named, since it may be over by then. */
  named: async (user) => {
    const chat = new Chat({ user });
    await chat.sendMessage({ text: 'hello' });
    const [said] = chat.messages;
    const api = `${url}/v1/users/${user}/ai-sdk/chat`;
    const transport = new DefaultChatTransport({
      prepareReconnectToStreamRequest: ({ id }) => ({
        api: `${api}/${id}/stream?turn=${said.id}`,
        headers: { authorization: `Bearer ${key}` },
      }),
    });
    const chunks = [];
    for await (const chunk of await transport.reconnectToStream({ chatId: 'main' })) chunks.push(chunk.type);
    return { ...chat.seen(), chunks };
  },
  cancelled: async (user) => {
    const chat = new Chat({ user });
    const sent = chat.sendMessage({ text: LONG });
    await chat.until(hasPrinted);
    await ask(`${user}/turns/${chat.lastMessage.metadata.turnId}/cancel`, { method: 'POST' });
    await sent;
    return { ...chat.seen(), loaded: await load(user) };
  },
  /** The client's own stop, where the deployment takes it for a cancel, and where it does not. */
  stopped: async (user) => {
    const chat = new Chat({ user, headers: { 'x-innkeeper-cancel-on-disconnect': 'true' } });
    const sent = chat.sendMessage({ text: LONG });
    await chat.until(hasPrinted);
    await chat.stop();
    await sent;
    return chat.seen();
  },
  left: async (user) => {
    const chat = new Chat({ user });
    const sent = chat.sendMessage({ text: '$ echo begun; sleep 1; echo done >> ~/done.txt' });
    await chat.until(hasPrinted);
    await chat.stop();
    await sent;
    return chat.seen();
  },
  refused: (user) => say(new Chat({ user, credential: 'ik_wrong' }), 'hello'),
  /** The second request of a user who may make one a minute. */
  hasty: async (user) => {
    const chat = new Chat({ user });
    await load(user);
    await chat.sendMessage({ text: 'hello' });
    return chat.seen();
  },
};

const played = await Promise.all(
  process.argv.slice(2).map(async (name) => [name, await scenarios[name](`${prefix}-${name}`)]),
);
process.stdout.write(JSON.stringify(Object.fromEntries(played)));
