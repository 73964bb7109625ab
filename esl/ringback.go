package esl

import (
	"context"
	"fmt"

	"github.com/tgtrunk/tgtrunk/bridge/pbx"
)

// Search tells the caller of an inbound leg that the far end is being looked for.
func (l *leg) Search() { l.inbox.Put(searchOrder{}) }

// stage is how far a call has come, as its caller hears it.
type stage uint8

const (
	untold stage = iota
	searching
	ringing
)

// tell lets the caller hear how far his call has come; only forward.
func (in *inbound) tell(p stage) {
	if p <= in.told || in.state != waiting || in.gone {
		return
	}
	in.told = p
	var err error
	switch {
	case in.link.opt.Ringback == pbx.Media:
		err = in.earlyMedia(p)
	case p == ringing && !in.start.answered():
		err = in.link.verbs().ring(in.setup.ctx, in.main.id)
	}
	if err != nil && !isGone(err) && in.setup.ctx.Err() == nil {
		in.log.Warn("cannot tell the caller how far the call has come", "error", err)
	}
}

// earlyMedia plays a tone to a caller who has not been answered. The channel variable ringback replaces that of ringing,
// as it does for calls between phones.
func (in *inbound) earlyMedia(p stage) error {
	v, ctx := in.link.verbs(), in.setup.ctx
	tone := teletone(pbx.SearchTone())
	if p == ringing {
		tone = teletone(pbx.RingTone())
		if own := in.start.variable("ringback"); validTone(own) {
			tone = own
		}
	}
	if in.tone {
		if err := v.hush(ctx, in.main.id); err != nil {
			return err
		}
	} else if !in.start.answered() {
		if err := v.preAnswer(ctx, in.main.id); err != nil {
			return err
		}
	}
	in.tone = true
	return v.play(ctx, in.main.id, "tone_stream://"+tone+";loops=-1")
}

// hush ends the tone that the caller hears, if there is one.
func (in *inbound) hush(ctx context.Context) {
	if !in.tone {
		return
	}
	in.tone = false
	if err := in.link.verbs().hush(ctx, in.main.id); err != nil && !isGone(err) {
		in.log.Warn("cannot end the tone of early media", "error", err)
	}
}

// teletone writes a tone as FreeSWITCH's libteletone takes it.
func teletone(t pbx.Tone) string { return fmt.Sprintf("%%(%d,%d,%d)", t.On, t.Off, t.Hz) }

// validTone reports whether a text may be a script of libteletone.
func validTone(s string) bool {
	return s != "" && s[0] == '%' && onlyRunes(s, func(r rune) bool {
		return r >= '0' && r <= '9' || r == '%' || r == '(' || r == ')' || r == ',' || r == '.' || r == '+'
	})
}

// preAnswer lets a caller hear what is played before the answer (SIP 183).
func (v verbs) preAnswer(ctx context.Context, id string) error {
	return v.do(ctx, "uuid_pre_answer", id)
}

// play plays a file or a stream to a channel, not to one it is bridged with.
func (v verbs) play(ctx context.Context, id, what string) error {
	return v.do(ctx, "uuid_broadcast", id, what, "aleg")
}

// hush ends what is being played to a channel.
func (v verbs) hush(ctx context.Context, id string) error { return v.do(ctx, "uuid_break", id, "all") }
