package telegram

import (
	"strings"
	"testing"
)

// The key of a reply is the id of the webhook's event, which names the person.
func TestKeysOfRepliesAreMasked(t *testing.T) {
	key := "telegram/sales/" + replyKeys + "sales.5700123456.77.message.received"
	if text := maskKeys("put \"" + key + "\": away"); strings.Contains(text, "5700123456") || !strings.Contains(text, "telegram/sales/replies/") {
		t.Errorf("the log says %s", text)
	}
}
