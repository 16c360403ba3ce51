// A Baileys client on a leash: commands come as JSON lines on stdin, what happens goes out as JSON lines on stdout.
// The commands, the events and the environment are described at the head of tests/tests/interop/actor.rs.
import makeWASocket, {
  Browsers,
  DEFAULT_CONNECTION_CONFIG,
  DisconnectReason,
  generateMessageIDV2,
  generateWAMessage,
  proto,
  useMultiFileAuthState,
} from 'baileys'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

// What was sent, on disk, because receivers may ask for it again after a restart.
class Sent {
  constructor(path) {
    this.path = path
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []
    this.messages = new Map(lines.filter(Boolean).map((line) => line.split(' ')))
  }

  keep(id, message) {
    const encoded = Buffer.from(proto.Message.encode(message).finish()).toString('base64')
    this.messages.set(id, encoded)
    appendFileSync(this.path, `${id} ${encoded}\n`)
  }

  get(id) {
    const encoded = this.messages.get(id)
    return encoded && proto.Message.decode(Buffer.from(encoded, 'base64'))
  }
}

const silent = () => {}
const logger = {
  level: process.env.ACTOR_LOG ?? 'silent',
  child: () => logger,
  trace: silent,
  debug: logTo('debug'),
  info: logTo('info'),
  warn: logTo('warn'),
  error: logTo('error'),
}
function logTo(level) {
  return process.env.ACTOR_LOG ? (...what) => console.error(process.pid, level, ...what) : silent
}

// The ratchet library prints sessions, keys included, to the console; stdout here carries events only.
console.log = console.info = console.warn = silent
if (!process.env.ACTOR_LOG) console.error = silent

const tell = (event) => process.stdout.write(JSON.stringify(event) + '\n')
const store = process.env.ACTOR_STORE
const { state, saveCreds } = await useMultiFileAuthState(join(store, 'auth'))
const agent = new Agent({ ca: readFileSync(process.env.ACTOR_CA) })
const sent = new Sent(join(store, 'sent'))
let socket
let wanted = false

// This version reads a session when a send begins and writes it when the send ends: what it decrypts in between is
// overwritten, and it uses counters twice. So here it does one or the other.
let turnOfSessions = Promise.resolve()
function alone(work) {
  const done = turnOfSessions.then(work)
  turnOfSessions = done.catch(silent)
  return done
}

function makeSignalRepository(...given) {
  const repository = DEFAULT_CONNECTION_CONFIG.makeSignalRepository(...given)
  return { ...repository, decryptMessage: (message) => alone(() => repository.decryptMessage(message)) }
}

function textOf(message) {
  const inner = message?.ephemeralMessage?.message ?? message
  return inner?.conversation ?? inner?.extendedTextMessage?.text
}

const withoutDevice = (jid) => jid?.replace(/:\d+@/, '@')

function connect() {
  socket = makeWASocket({
    auth: state,
    waWebSocketUrl: process.env.ACTOR_URL,
    agent,
    logger,
    makeSignalRepository,
    browser: Browsers.ubuntu('Chrome'),
    syncFullHistory: false,
    // Otherwise its own sends come back to it as messages.
    emitOwnEvents: false,
    getMessage: async (key) => sent.get(key.id),
  })
  socket.ev.on('creds.update', saveCreds)
  socket.ev.on('connection.update', connectionChanged)
  socket.ev.on('messages.upsert', ({ messages }) => messages.forEach(received))
  socket.ev.on('messages.update', (updates) => {
    for (const { key, update } of updates) {
      const kind = { 3: 'delivered', 4: 'read' }[update.status]
      if (kind && key.fromMe) tell({ is: 'receipt', ids: [key.id], kind, from: key.remoteJid })
    }
  })
}

function connectionChanged(update) {
  const me = state.creds.me
  if (update.qr) tell({ is: 'qr', text: update.qr })
  if (update.isNewLogin) tell({ is: 'linked' })
  if (update.connection === 'open') {
    tell({ is: 'open', jid: withoutDevice(me.id), lid: withoutDevice(me.lid), device: me.id })
  }
  if (update.receivedPendingNotifications) tell({ is: 'drained' })
  if (update.connection !== 'close') return
  const status = update.lastDisconnect?.error?.output?.statusCode
  if (wanted && status === DisconnectReason.restartRequired) return connect()
  tell(status === DisconnectReason.loggedOut ? { is: 'logged_out' } : { is: 'closed', status })
}

function received({ key, message, messageStubType, messageStubParameters }) {
  if (messageStubType === proto.WebMessageInfo.StubType.CIPHERTEXT) {
    return tell({ is: 'undecryptable', id: key.id, why: messageStubParameters })
  }
  const context = message?.extendedTextMessage?.contextInfo
  tell({
    is: 'message',
    id: key.id,
    chat: key.remoteJid,
    from: key.participant ?? (key.fromMe ? withoutDevice(state.creds.me.id) : key.remoteJid),
    mine: Boolean(key.fromMe),
    text: textOf(message),
    quoted: context?.stanzaId ?? undefined,
    mentions: context?.mentionedJid ?? undefined,
  })
}

const commands = {
  connect() {
    wanted = true
    connect()
  },
  async code({ number }) {
    tell({ is: 'code', text: await socket.requestPairingCode(number) })
  },
  disconnect() {
    wanted = false
    socket.end(undefined)
  },
  async send({ chat, text, id, reply, mention }) {
    const content = { text, mentions: mention ? [mention] : undefined }
    const options = { userJid: state.creds.me.id, messageId: id ?? generateMessageIDV2(state.creds.me.id), logger }
    if (reply) {
      const key = { remoteJid: chat, id: reply.id, fromMe: false, participant: reply.sender }
      options.quoted = { key, message: { conversation: reply.text } }
    }
    const { key, message } = await generateWAMessage(chat, content, options)
    // Kept first: a receiver may ask for it again before the send is over.
    sent.keep(key.id, message)
    await alone(() => socket.relayMessage(chat, message, { messageId: key.id }))
    tell({ is: 'sent', id: key.id })
  },
  async read({ chat, sender, id }) {
    await socket.readMessages([{ remoteJid: chat, id, fromMe: false }])
  },
  async logout() {
    await socket.logout()
  },
}

// Commands run one after the other, so that what is sent first is encrypted first.
let turn = Promise.resolve()
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  turn = turn
    .then(() => commands[command.do](command))
    .catch((error) => tell({ is: 'failed', what: command.do, id: command.id, why: String(error?.stack ?? error) }))
}
await turn
process.exit(0)
