package cloud

import (
	"net/netip"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
)

func addHelp(m methods) {
	onOpen(m, (*request).getConfig)
	onOpen(m, func(r *request, _ *tg.HelpGetNearestDCRequest) (bin.Encoder, error) {
		return &tg.NearestDC{Country: "XX", ThisDC: r.opts.DC, NearestDC: r.opts.DC}, nil
	})
	onOpen(m, func(_ *request, q *tg.HelpGetAppConfigRequest) (bin.Encoder, error) {
		if q.Hash == 1 {
			return &tg.HelpAppConfigNotModified{}, nil
		}
		return &tg.HelpAppConfig{Hash: 1, Config: &tg.JSONObject{}}, nil
	})
	onOpen(m, func(*request, *tg.HelpGetCDNConfigRequest) (bin.Encoder, error) { return &tg.CDNConfig{}, nil })
	on(m, func(r *request, _ *tg.HelpGetPromoDataRequest) (bin.Encoder, error) {
		return &tg.HelpPromoDataEmpty{Expires: r.inAnHour()}, nil
	})
	on(m, func(r *request, _ *tg.HelpGetTermsOfServiceUpdateRequest) (bin.Encoder, error) {
		return &tg.HelpTermsOfServiceUpdateEmpty{Expires: r.inAnHour()}, nil
	})
	on(m, func(*request, *tg.UploadSaveFilePartRequest) (bin.Encoder, error) { return yes() }) // call logs; nobody reads them
}

func (r *request) inAnHour() int { return int(r.now().Add(time.Hour).Unix()) }

func (r *request) getConfig(*tg.HelpGetConfigRequest) (bin.Encoder, error) {
	addr := r.opts.Public
	if !addr.IsValid() {
		addr = r.call.Session.LocalAddr()
	}
	return &tg.Config{
		Date: int(r.now().Unix()), Expires: int(r.now().Add(r.config.Expires).Unix()), TestMode: r.opts.Test, ThisDC: r.opts.DC, DCOptions: dcOptions(addr),
		DCTxtDomainName: "localhost", ChatSizeMax: 200, MegagroupSizeMax: 200000, ForwardedCountMax: 100,
		OnlineUpdatePeriodMs: 210000, OfflineBlurTimeoutMs: 5000, OfflineIdleTimeoutMs: 30000, OnlineCloudTimeoutMs: 300000,
		NotifyCloudDelayMs: 30000, NotifyDefaultDelayMs: 1500, PushChatPeriodMs: 60000, PushChatLimit: 2,
		EditTimeLimit: 172800, RevokeTimeLimit: 2147483647, RevokePmTimeLimit: 2147483647, RevokePmInbox: true,
		RatingEDecay: 2419200, StickersRecentLimit: 200, ChannelsReadMediaPeriod: 604800,
		CallReceiveTimeoutMs: r.config.ReceiveMs, CallRingTimeoutMs: r.config.RingMs, CallConnectTimeoutMs: r.config.ConnectMs, CallPacketTimeoutMs: r.config.PacketMs,
		MeURLPrefix: "https://t.me/", CaptionLengthMax: 1024, MessageLengthMax: maxText, WebfileDCID: r.opts.DC,
	}, nil
}

// dcOptions says that every DC is this server.
func dcOptions(addr netip.AddrPort) []tg.DCOption {
	options := make([]tg.DCOption, 0, 5)
	for dc := 1; dc <= 5; dc++ {
		options = append(options, tg.DCOption{ID: dc, IPAddress: addr.Addr().String(), Port: int(addr.Port()), Ipv6: addr.Addr().Is6(), Static: true})
	}
	return options
}
