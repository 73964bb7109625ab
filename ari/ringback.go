package ari

import (
	"context"
	"fmt"
	"net/url"

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
	if p <= in.told || in.state != waiting {
		return
	}
	in.told = p
	var err error
	switch {
	case in.link.opt.Ringback == pbx.Media:
		err = in.earlyMedia(p)
	case p == ringing:
		err = in.link.rest.ring(in.setup.ctx, in.channel)
	}
	if err != nil {
		in.log.Warn("cannot tell the caller how far the call has come", "error", err)
	}
}

// earlyMedia plays a tone to a caller who has not been answered: Asterisk signals progress (SIP 183) by itself before it
// plays to such a channel (res_stasis_playback.c).
func (in *inbound) earlyMedia(p stage) error {
	tone := pbx.SearchTone()
	if p == ringing {
		tone = pbx.RingTone()
	}
	in.hush(in.setup.ctx)
	in.tones++
	id := fmt.Sprintf("%s-tone%d", in.id, in.tones)
	if err := in.link.rest.play(in.setup.ctx, in.channel, id, tone); err != nil {
		return err
	}
	in.tone = id
	return nil
}

// hush ends the tone that the caller hears, if there is one. While Asterisk plays to a channel it does nothing else with it:
// every order waits.
func (in *inbound) hush(ctx context.Context) {
	if in.tone == "" {
		return
	}
	id := in.tone
	in.tone = ""
	if err := in.link.rest.stopPlaying(ctx, id); err != nil {
		in.log.Warn("cannot end the tone of early media", "error", err)
	}
}

// play plays a tone to a channel until it is stopped.
func (r *rest) play(ctx context.Context, channel, id string, t pbx.Tone) error {
	tone := fmt.Sprintf("tone:%d/%d,0/%d", t.Hz, t.On, t.Off)
	// In the query a comma would end the tone.
	body := map[string]any{"media": []string{tone}}
	return r.post(ctx, channelPath(channel, "play/"+url.PathEscape(id)), nil, body, nil)
}

// stopPlaying ends what is being played; what has ended already is no error.
func (r *rest) stopPlaying(ctx context.Context, id string) error {
	if err := r.remove(ctx, "/playbacks/"+url.PathEscape(id), nil); !isNotFound(err) {
		return err
	}
	return nil
}
