package telegram

import (
	"slices"
	"testing"
	"time"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/calls"
)

// TestEarlyCallsComeFirst: what came before the account's line was there is delivered before anything that comes while it is.
func TestEarlyCallsComeFirst(t *testing.T) {
	call := func(id int64) tg.UpdateClass {
		return &tg.UpdatePhoneCall{PhoneCall: &tg.PhoneCallRequested{ID: id, AdminID: 7, ParticipantID: 5, Date: int(time.Now().Unix())}}
	}
	var u upstream
	var order []int64
	line := calls.New(calls.Options{Self: 5, Incoming: func(c *calls.Call) {
		if order = append(order, c.ID()); len(order) == 1 {
			u.deliver(call(3)) // Telegram goes on meanwhile
		}
	}})
	for id := range int64(2) {
		u.deliver(call(id + 1))
	}
	u.attach(line, func() {})
	u.deliver(call(4))
	if want := []int64{1, 2, 3, 4}; !slices.Equal(order, want) {
		t.Errorf("the calls come as %v, want %v", order, want)
	}
}
