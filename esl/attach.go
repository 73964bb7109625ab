package esl

import (
	"context"
	"errors"
	"fmt"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
)

// audio is how a leg's sound gets in and out of FreeSWITCH: a media channel that is bridged with the main channel. Owned
// by the leg's goroutine; the uuid is set before the channel is asked for.
type audio struct {
	channel string // of the media channel, "" before it exists and after it has gone
	count   int    // of the media channels there were
	broken  bool   // the way for audio broke down
	told    bool   // the call knows that there is audio
	parked  bool   // it has parked once more than when it came: nobody is bridged with it
	took    int    // event.profile of that first time
	flow    media.Flow
}

// prepare opens the media channel and bridges it with the main one. CHANNEL_BRIDGE tells when both hear each other.
func (l *leg) prepare() {
	l.state = connecting
	l.deadline.Reset(2 * l.link.opt.RequestTimeout)
	if err := l.openAudio(); err != nil {
		if isGone(err) {
			return // its event is on the way and says why; the deadline runs
		}
		l.fail(bridge.MediaFailed, fmt.Errorf("set up audio: %w", err))
	}
}

func (l *leg) openAudio() error {
	ctx, cancel := context.WithTimeout(l.setup.ctx, 2*l.link.opt.RequestTimeout)
	defer cancel()
	way, err := l.link.way(ctx)
	if err != nil {
		return err
	}
	l.audio.count++
	l.audio.channel = fmt.Sprintf("%s-media%d", l.id, l.audio.count)
	l.audio.parked, l.audio.took = false, 0
	l.link.legs.Own(l.audio.channel, l)
	o := opening{l.audio.channel, l.link.opt.Media.wanted(l.main.codec), l.who.shown}
	if l.audio.flow, err = way.open(ctx, o); err != nil {
		return err
	}
	l.link.legs.Confirm(l.audio.channel, l)
	if err := l.role.join(ctx); err != nil {
		return err
	}
	return l.bridge(ctx)
}

// varMixCodecs makes a bridge offer the profile's codecs besides the one of the channel that calls. Without it a phone that
// is called from our channels is offered their L16 alone, and refuses (switch_core_media_prepare_codecs).
const varMixCodecs = "media_mix_inbound_outbound_codecs"

// varHeldEnds is where a channel's partner goes when that ends on hold.
const varHeldEnds = "hold_hangup_xfer_exten"

// varExport names the variables that a channel hands on to those it calls.
const varExport = "export_vars"

// varTransfer is the context in which a transfer looks for its target, whatever the transferred channel's own is.
const varTransfer = "force_transfer_context"

// bridge joins the main channel and the media channel.
func (l *leg) bridge(ctx context.Context) error {
	dials := l.main.dials
	if dials == "" {
		dials = l.link.opt.Context
	}
	v := l.link.verbs()
	// A party who transfers the call leaves the media channel to run the target, in whose own context there is none.
	set := map[string]string{varTransfer: dials, "TGTRUNK_LEG": l.id, varMixCodecs: "true", varExport: varMixCodecs}
	if err := v.setVariables(ctx, l.audio.channel, set); err != nil {
		return err
	}
	// A main channel whose media channel is lost parks, for a while: without us it would wait for ever. A party on hold
	// who ends would hang up what it was bridged with, also where an attended transfer has just given that to somebody
	// else (FreeSWITCH 1.10, audio_bridge_thread in switch_ivr_bridge.c): the media channel parks instead.
	if err := v.setVariables(ctx, l.main.id, map[string]string{
		"park_after_bridge": "true", "park_timeout": orphanTimeout, varHeldEnds: "park:inline:", varTaken: "", varTransfer: dials,
	}); err != nil {
		return err
	}
	return v.bridge(ctx, l.main.id, l.audio.channel)
}

// orphanTimeout is how long FreeSWITCH keeps a party of ours that nobody looks after, and what it says then.
const orphanTimeout = "30:NORMAL_TEMPORARY_FAILURE"

// connected: both channels are bridged.
func (l *leg) connected() {
	l.deadline.Stop()
	l.state = up
	l.main.parked, l.main.bridged, l.main.joined = false, true, true
	l.log.Debug("leg is up", "audio", l.audio.flow.Format().Codec.String())
	if !l.audio.told {
		l.audio.told = true
		l.emit(bridge.Answered{})
	}
	l.emit(bridge.Media{Flow: l.audio.flow})
}

// audioLost: a WebSocket was lost, and the media channel with it, of which its own event tells.
func (l *leg) audioLost(audioLost) {
	l.audio.broken = true
	l.reattach()
}

// reattach gives a party that is parked, because its media channel was lost, another one.
func (l *leg) reattach() {
	if l.state != parting || !l.main.parked || !l.audio.broken {
		return
	}
	l.log.Warn("way for audio was lost, attaching again")
	if l.audio.flow != nil {
		_ = l.audio.flow.Close()
	}
	l.audio.broken = false
	l.prepare()
}

// release removes the media channel from FreeSWITCH.
func (a *audio) release(ctx context.Context, l *leg) error {
	var errs []error
	if a.flow != nil {
		errs = append(errs, a.flow.Close())
	}
	if a.channel != "" {
		errs = append(errs, l.link.removeMedia(ctx, a.channel))
	}
	return errors.Join(errs...)
}
