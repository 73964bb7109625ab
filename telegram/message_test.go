package telegram

import (
	"context"
	"log/slog"
	"testing"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
)

// answering is a Telegram that answers every request with the same updates.
type answering struct{ updates tg.UpdatesClass }

func (a answering) Invoke(_ context.Context, _ bin.Encoder, out bin.Decoder) error {
	*out.(*tg.UpdatesBox) = tg.UpdatesBox{Updates: a.updates}
	return nil
}

// Whoever takes the updates of an answer may do with them what it wants: the manager of updates sorts them where they lie.
func TestSentMessageIsKnownWhateverBecomesOfItsUpdates(t *testing.T) {
	for name, updates := range map[string]tg.UpdatesClass{
		"updates":  &tg.Updates{Updates: []tg.UpdateClass{&tg.UpdateMessageID{ID: 17}, &tg.UpdateNewMessage{Message: &tg.Message{ID: 17}, Pts: 5}}},
		"combined": &tg.UpdatesCombined{Updates: []tg.UpdateClass{&tg.UpdateMessageID{ID: 17}}},
		"short":    &tg.UpdateShortSentMessage{ID: 17},
	} {
		t.Run(name, func(t *testing.T) {
			taken := 0
			s := &session{api: tg.NewClient(answering{updates}), log: slog.New(slog.DiscardHandler), news: func(_ context.Context, all tg.UpdatesClass) error {
				taken++
				switch all := all.(type) {
				case *tg.Updates:
					clear(all.Updates)
				case *tg.UpdatesCombined:
					clear(all.Updates)
				case *tg.UpdateShortSentMessage:
					all.ID = 0
				}
				return nil
			}}
			id, err := s.send(t.Context(), Peer{ID: 1, AccessHash: 2}, "hello")
			if err != nil || id != 17 {
				t.Errorf("send = %d, %v, want 17", id, err)
			}
			if taken != 1 {
				t.Errorf("the updates were taken %d times", taken)
			}
		})
	}
}
