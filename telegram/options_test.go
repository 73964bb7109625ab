package telegram

import (
	"testing"

	"github.com/tgtrunk/tgtrunk/telegram/cloud"
)

// Who names a server and no data centre means the one that the simulated Telegram is unless it is told otherwise.
func TestServerWithoutDC(t *testing.T) {
	server, err := cloud.New(cloud.Options{})
	if err != nil {
		t.Fatal(err)
	}
	k, _ := held(t)
	a, err := New(Options{Name: "office", APIID: 1, APIHash: "h", Store: k.store, Server: Server{Addr: "127.0.0.1:1", PublicKey: server.PublicKey()}})
	if err != nil {
		t.Fatal(err)
	}
	if a.opts.Server.DC != server.DC() {
		t.Errorf("the account looks for data centre %d, the server is %d", a.opts.Server.DC, server.DC())
	}
}
