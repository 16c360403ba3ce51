// A Baileys client on a leash: commands come as JSON lines on stdin, what happens goes out as JSON lines on stdout.
//
//   BAILEYS_URL   WebSocket URL of the relay
//   BAILEYS_AUTH  folder for the session's files
//
// Commands: {do: "start"} {do: "stop"} {do: "send", to, text, quote?, mention?} {do: "read", chat, id, participant?}
//           {do: "logout"} {do: "quit"}
import makeWASocket, { Browsers, DisconnectReason, useMultiFileAuthState } from 'baileys'
import { createInterface } from 'node:readline'

const silent = () => {}
const logger = {
  level: process.env.BAILEYS_LOG ?? 'silent',
  child: () => logger,
  trace: silent,
  debug: silent,
  info: silent,
  warn: logTo('warn'),
  error: logTo('error'),
}
function logTo(level) {
  return process.env.BAILEYS_LOG ? (...what) => console.error(level, ...what) : silent
}

// The ratchet library prints sessions, keys included, to the console; stdout here carries events only.
console.log = console.info = console.warn = silent

const tell = (event) => process.stdout.write(JSON.stringify(event) + '\n')
const { state, saveCreds } = await useMultiFileAuthState(process.env.BAILEYS_AUTH)
const sent = new Map()
let socket
let wanted = false

function textOf(message) {
  const inner = message?.ephemeralMessage?.message ?? message
  return inner?.conversation ?? inner?.extendedTextMessage?.text
}

function connect() {
  socket = makeWASocket({
    auth: state,
    waWebSocketUrl: process.env.BAILEYS_URL,
    logger,
    browser: Browsers.ubuntu('Chrome'),
    syncFullHistory: false,
    getMessage: async (key) => sent.get(key.id),
  })
  socket.ev.on('creds.update', saveCreds)
  socket.ev.on('connection.update', (update) => {
    if (update.qr) tell({ is: 'qr', text: update.qr })
    if (update.isNewLogin) tell({ is: 'linked' })
    if (update.connection === 'open') tell({ is: 'open', jid: state.creds.me?.id, lid: state.creds.me?.lid })
    if (update.receivedPendingNotifications) tell({ is: 'drained' })
    if (update.connection === 'close') {
      const status = update.lastDisconnect?.error?.output?.statusCode
      tell({ is: 'closed', status })
      if (wanted && status === DisconnectReason.restartRequired) connect()
    }
  })
  socket.ev.on('messages.upsert', ({ messages, type }) => {
    for (const { key, message, pushName, messageStubType, messageStubParameters } of messages) {
      // Its own sends come back to it as "append"; only what the server delivers counts here.
      if (key.fromMe && type === 'append') continue
      const context = message?.extendedTextMessage?.contextInfo
      tell({
        is: 'message',
        id: key.id,
        chat: key.remoteJid,
        alternate: key.remoteJidAlt,
        fromMe: Boolean(key.fromMe),
        text: textOf(message),
        quoted: context?.stanzaId ?? undefined,
        mentions: context?.mentionedJid ?? undefined,
        pushName,
        type,
        stub: messageStubType ?? undefined,
        why: messageStubParameters?.length ? messageStubParameters : undefined,
      })
    }
  })
  socket.ev.on('messages.update', (updates) => {
    for (const { key, update } of updates) {
      if (update.status !== undefined) tell({ is: 'status', id: key.id, status: update.status })
    }
  })
}

const commands = {
  start() {
    wanted = true
    connect()
  },
  stop() {
    wanted = false
    socket.end(undefined)
  },
  async send({ to, text, quote, mention }) {
    const content = { text, mentions: mention ? [mention] : undefined }
    const options = quote ? { quoted: { key: quote.key, message: { conversation: quote.text } } } : {}
    const result = await socket.sendMessage(to, content, options)
    sent.set(result.key.id, result.message)
    tell({ is: 'sent', id: result.key.id, text })
  },
  async read({ chat, id, participant }) {
    await socket.readMessages([{ remoteJid: chat, id, participant, fromMe: false }])
    tell({ is: 'marked', id })
  },
  async logout() {
    await socket.logout()
  },
  quit() {
    process.exit(0)
  },
}

// Commands run one after the other, so that what is sent first is encrypted first.
let turn = Promise.resolve()
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  turn = turn
    .then(() => commands[command.do](command))
    .catch((error) => tell({ is: 'failed', what: command.do, why: String(error?.stack ?? error) }))
}
await turn
process.exit(0)
