// A whatsmeow client on a leash: commands come as JSON lines on stdin, what happens goes out as JSON lines on stdout.
// The commands, the events and the environment are described at the head of tests/tests/interop/actor.rs.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/store/sqlstore"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	waLog "go.mau.fi/whatsmeow/util/log"
	"google.golang.org/protobuf/proto"
	_ "modernc.org/sqlite"
)

type command struct {
	Do      string `json:"do"`
	Number  string `json:"number"`
	Chat    string `json:"chat"`
	Sender  string `json:"sender"`
	ID      string `json:"id"`
	Text    string `json:"text"`
	Mention string `json:"mention"`
	Reply   *quote `json:"reply"`
}

type quote struct {
	ID     string `json:"id"`
	Sender string `json:"sender"`
	Text   string `json:"text"`
}

type event map[string]any

var output sync.Mutex

func tell(what event) {
	line, err := json.Marshal(what)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	_, _ = os.Stdout.Write(append(line, '\n'))
}

func main() {
	client, err := newClient(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "whatsmeow:", err)
		os.Exit(1)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var wanted command
		if err := json.Unmarshal(lines.Bytes(), &wanted); err != nil {
			tell(event{"is": "failed", "what": "a command", "why": err.Error()})
			continue
		}
		if err := obey(context.Background(), client, wanted); err != nil {
			tell(event{"is": "failed", "what": wanted.Do, "id": wanted.ID, "why": err.Error()})
		}
	}
}

func newClient(ctx context.Context) (*whatsmeow.Client, error) {
	root, err := hex.DecodeString(os.Getenv("ACTOR_ROOT_KEY"))
	if err != nil || len(root) != len(whatsmeow.WACertPubKey) {
		return nil, fmt.Errorf("ACTOR_ROOT_KEY must be 32 bytes in hex")
	}
	whatsmeow.WACertPubKey = [32]byte(root)
	dialled, err := clientFor(os.Getenv("ACTOR_URL"), os.Getenv("ACTOR_CA"))
	if err != nil {
		return nil, err
	}
	device, err := openStore(ctx, filepath.Join(os.Getenv("ACTOR_STORE"), "whatsmeow.db"))
	if err != nil {
		return nil, err
	}
	client := whatsmeow.NewClient(device, logger{})
	client.SetPreLoginHTTPClient(dialled)
	client.SetWebsocketHTTPClient(dialled)
	// What an application asks for that must not lose messages when it is killed.
	client.UseRetryMessageStore = true
	client.SynchronousAck = true
	client.EnableDecryptedEventBuffer = true
	client.AddEventHandler(func(what any) { report(client, what) })
	return client, nil
}

// The library has no option for the address, so everything it dials is led to the relay, over TLS as it wants.
func clientFor(relay, certificate string) (*http.Client, error) {
	address, err := url.Parse(relay)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(certificate)
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", certificate)
	}
	var dialer net.Dialer
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address.Host)
		},
	}
	return &http.Client{Transport: transport}, nil
}

func openStore(ctx context.Context, path string) (*store.Device, error) {
	settings := "?_pragma=foreign_keys(1)&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate"
	database, err := sql.Open("sqlite", "file:"+path+settings)
	if err != nil {
		return nil, err
	}
	container := sqlstore.NewWithDB(database, "sqlite3", logger{})
	if err := container.Upgrade(ctx); err != nil {
		return nil, err
	}
	// A mapping that is read from the database one by one loses its device number in this version
	// (GetManyLIDsForPNs), which sends one device's ciphertext to all devices of a user after a restart.
	if err := container.LIDMap.FillCache(ctx); err != nil {
		return nil, err
	}
	return container.GetFirstDevice(ctx)
}

func obey(ctx context.Context, client *whatsmeow.Client, wanted command) error {
	switch wanted.Do {
	case "connect":
		return client.Connect()
	case "code":
		code, err := client.PairPhone(ctx, wanted.Number, true, whatsmeow.PairClientChrome, "Chrome (Linux)")
		if err == nil {
			tell(event{"is": "code", "text": code})
		}
		return err
	case "disconnect":
		client.Disconnect()
		tell(event{"is": "closed"})
	case "send":
		return send(ctx, client, wanted)
	case "read":
		return read(ctx, client, wanted)
	case "logout":
		if err := client.Logout(ctx); err != nil {
			return err
		}
		tell(event{"is": "logged_out"})
	default:
		return fmt.Errorf("there is no such command")
	}
	return nil
}

func send(ctx context.Context, client *whatsmeow.Client, wanted command) error {
	chat, err := types.ParseJID(wanted.Chat)
	if err != nil {
		return err
	}
	message := &waE2E.Message{Conversation: proto.String(wanted.Text)}
	if wanted.Reply != nil || wanted.Mention != "" {
		about := &waE2E.ContextInfo{}
		if wanted.Mention != "" {
			about.MentionedJID = []string{wanted.Mention}
		}
		if wanted.Reply != nil {
			about.StanzaID = proto.String(wanted.Reply.ID)
			about.Participant = proto.String(wanted.Reply.Sender)
			about.QuotedMessage = &waE2E.Message{Conversation: proto.String(wanted.Reply.Text)}
		}
		extended := &waE2E.ExtendedTextMessage{Text: proto.String(wanted.Text), ContextInfo: about}
		message = &waE2E.Message{ExtendedTextMessage: extended}
	}
	sent, err := client.SendMessage(ctx, chat, message, whatsmeow.SendRequestExtra{ID: wanted.ID})
	if err == nil {
		tell(event{"is": "sent", "id": sent.ID})
	}
	return err
}

func read(ctx context.Context, client *whatsmeow.Client, wanted command) error {
	chat, err := types.ParseJID(wanted.Chat)
	if err != nil {
		return err
	}
	sender, err := types.ParseJID(wanted.Sender)
	if err != nil {
		return err
	}
	return client.MarkRead(ctx, []types.MessageID{wanted.ID}, time.Now(), chat, sender)
}

func report(client *whatsmeow.Client, what any) {
	switch is := what.(type) {
	case *events.QR:
		tell(event{"is": "qr", "text": is.Codes[0]})
	case *events.PairSuccess:
		tell(event{"is": "linked"})
	case *events.PairError:
		tell(event{"is": "failed", "what": "linking", "why": is.Error.Error()})
	case *events.Connected:
		migrated(client)
		tell(event{"is": "open", "jid": client.Store.ID.ToNonAD(), "lid": client.Store.LID.ToNonAD(), "device": client.Store.ID})
	case *events.OfflineSyncCompleted:
		tell(event{"is": "drained"})
	case *events.Disconnected, *events.StreamReplaced, *events.ConnectFailure:
		tell(event{"is": "closed"})
	case *events.LoggedOut:
		tell(event{"is": "logged_out"})
	case *events.Message:
		tell(received(is))
	case *events.UndecryptableMessage:
		tell(event{"is": "undecryptable", "id": is.Info.ID})
	case *events.Receipt:
		kind := string(is.Type)
		if is.Type == types.ReceiptTypeDelivered {
			kind = "delivered"
		}
		tell(event{"is": "receipt", "ids": is.MessageIDs, "kind": kind, "from": is.Sender})
	}
}

// In production the phone tells a new companion, in the history it sends, that its chats go by LID. The relay's phone has
// no history to send; without this, what is sent by number is answered by LID, where this library has no session yet.
func migrated(client *whatsmeow.Client) {
	if client.Store.LIDMigrationTimestamp != 0 {
		return
	}
	client.Store.LIDMigrationTimestamp = time.Now().Unix()
	if err := client.Store.Save(context.Background()); err != nil {
		tell(event{"is": "failed", "what": "migration", "why": err.Error()})
	}
}

func received(message *events.Message) event {
	extended := message.Message.GetExtendedTextMessage()
	text := message.Message.GetConversation()
	if extended != nil {
		text = extended.GetText()
	}
	return event{
		"is":       "message",
		"id":       message.Info.ID,
		"chat":     message.Info.Chat,
		"from":     message.Info.Sender,
		"mine":     message.Info.IsFromMe,
		"text":     text,
		"quoted":   extended.GetContextInfo().GetStanzaID(),
		"mentions": extended.GetContextInfo().GetMentionedJID(),
	}
}

// Stdout carries events, so the library's log goes to stderr, when it is wanted.
type logger struct{}

var verbose = os.Getenv("ACTOR_LOG") != ""

func (logger) line(level, text string, arguments ...any) {
	if verbose {
		fmt.Fprintf(os.Stderr, level+" "+text+"\n", arguments...)
	}
}

func (l logger) Warnf(text string, arguments ...any)  { l.line("warn", text, arguments...) }
func (l logger) Errorf(text string, arguments ...any) { l.line("error", text, arguments...) }
func (l logger) Infof(text string, arguments ...any)  { l.line("info", text, arguments...) }
func (l logger) Debugf(text string, arguments ...any) { l.line("debug", text, arguments...) }
func (l logger) Sub(string) waLog.Logger              { return l }
