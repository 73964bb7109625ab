package esl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/media"
)

// probe finds out by which way audio can go, chooses it, and says which and why. It is repeated with every connection,
// and while there is only the fallback or nothing: a module may be loaded meanwhile.
func (l *Link) probe(ctx context.Context, conn *connection) {
	said := ""
	for {
		chosen, name, err := l.tryWays(ctx, conn)
		if ctx.Err() != nil {
			return
		}
		l.ways.choose(chosen, err)
		if text := fmt.Sprint(name, err); text != said {
			said = text
			l.sayWay(chosen, name, err)
		}
		if _, best := chosen.(vertoWay); best || !pbx.Sleep(ctx, l.timing.sweep) {
			return
		}
	}
}

func (l *Link) sayWay(chosen way, name string, err error) {
	switch {
	case chosen == nil:
		l.opt.Log.Error("audio has no way, calls will fail", "error", err)
	case err != nil:
		l.opt.Log.Warn("audio goes by the fallback", "way", name, "because", err)
	default:
		l.opt.Log.Info("audio goes by", "way", name)
	}
}

// tryWays returns the best way there is, and what is wrong with a better one.
func (l *Link) tryWays(ctx context.Context, conn *connection) (chosen way, name string, err error) {
	base, err := l.tryVerto(ctx, conn)
	if err == nil {
		return vertoWay{l, base}, fmt.Sprintf("mod_verto, %s/%d", base.Codec, base.Rate), nil
	}
	if l.opt.Media.Unicast.Off {
		return nil, "", err
	}
	if there, e := conn.api(ctx, "module_exists", "mod_loopback"); e != nil || there != "true" {
		return nil, "", errors.Join(err, errors.New("mod_loopback is not loaded: the fallback needs it"), e)
	}
	return &unicastWay{link: l}, "unicast, L16/8000", err
}

// tryVerto opens a leg of mod_verto for each codec that would do, and returns the first that is taken.
func (l *Link) tryVerto(ctx context.Context, conn *connection) (base media.Format, err error) {
	o := l.opt.Verto
	if o.URL == "" {
		return base, errors.New("the configuration names no verto url: mod_verto carries wideband audio, and with less delay")
	}
	for _, module := range []string{"mod_rtc", "mod_verto"} { // the first is the base of the second
		there, err := conn.api(ctx, "module_exists", module)
		if err != nil {
			return base, err
		}
		if there != "true" {
			return base, fmt.Errorf("%[1]s is not loaded: add <load module=\"%[1]s\"/> to autoload_configs/modules.conf.xml, then \"load %[1]s\"", module)
		}
	}
	limited, cancel := context.WithTimeout(ctx, min(l.opt.RequestTimeout, 2*time.Second))
	session, err := l.awaitVerto(limited)
	cancel()
	if err != nil {
		return base, explainVerto(o, err)
	}
	for i, f := range l.candidates() {
		id := fmt.Sprintf("%s-probe%d", l.ids.next(), i)
		flow, e := l.openVerto(ctx, session, opening{id, f, displayOf("tgtrunk", "tgtrunk")})
		if e == nil {
			_ = flow.Close()
			return f, session.bye(ctx, id)
		}
		err = explainVerto(o, e)
		var refused *legRefusedError
		if !errors.As(e, &refused) || refused.cause != "INCOMPATIBLE_DESTINATION" {
			_ = session.bye(ctx, id) // it may have come about all the same
			return base, err
		}
	}
	return base, err
}

// candidates are the formats to try, best first: what is configured, then what a profile as it is delivered takes.
func (l *Link) candidates() []media.Format {
	list := []media.Format{l.opt.Media.wanted("")}
	for _, codec := range []string{CodecOpus, CodecPCMU} {
		if f := (MediaOptions{Codec: codec}).wanted(""); f != list[0] && (f.Codec != media.Opus || media.HaveOpus) {
			list = append(list, f)
		}
	}
	return list
}
