package voip

import (
	"encoding/binary"
	"sync"
	"time"
)

// RTCP packet types, RFC 3550 section 12.1.
const (
	rtcpSender      = 200
	rtcpReceiver    = 201
	rtcpDescription = 202

	reportEvery = 5 * time.Second
	reportFirst = 500 * time.Millisecond // after the first packet came
	reportBlock = 24
	ntpEpoch    = 2_208_988_800 // seconds from 1900 to 1970
)

// senderReport is what our receiver reports echo of the peer's sender reports.
type senderReport struct {
	stamp   uint32 // middle of the NTP timestamp; 0 until there is one
	arrived time.Time
}

// receiveReport takes an SRTCP packet. Guarded by in.mu.
func (f *flow) receiveReport(b []byte) bool {
	in := &f.in
	if in.keys == nil {
		f.counts.early.Add(1)
		return false
	}
	plain, err := in.keys.DecryptRTCP(b[:0], b, nil)
	if err != nil {
		f.stranger()
		return false
	}
	if !f.readReports(plain, time.Now()) {
		f.counts.reports.Add(1)
	}
	return true
}

// readReports walks through a compound packet, or a single one (RFC 5506). Guarded by in.mu.
func (f *flow) readReports(b []byte, now time.Time) bool {
	for len(b) > 0 {
		if len(b) < 8 || b[0]>>6 != 2 {
			return false
		}
		length := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
		if length > len(b) {
			return false
		}
		blocks, count := b[8:max(length, 8)], int(b[0]&31)
		switch b[1] {
		case rtcpSender:
			if length < 28 {
				return false
			}
			if binary.BigEndian.Uint32(b[4:]) == f.in.ssrc.Load() {
				f.in.peer = senderReport{binary.BigEndian.Uint32(b[10:]), now}
			}
			f.readBlocks(blocks[20:], count, now)
		case rtcpReceiver:
			f.readBlocks(blocks, count, now)
		}
		b = b[length:]
	}
	return true
}

// readBlocks takes what the peer reports of our audio, RFC 3550 section 6.4.1.
func (f *flow) readBlocks(b []byte, count int, now time.Time) {
	for ; count > 0 && len(b) >= reportBlock; count, b = count-1, b[reportBlock:] {
		if binary.BigEndian.Uint32(b) != f.out.ssrc {
			continue
		}
		f.counts.remoteLoss.Store(uint32(b[4]))
		f.counts.remoteLost.Store(lostSoFar(b))
		f.counts.remoteJitter.Store(f.duration(binary.BigEndian.Uint32(b[12:])))
		last, delay := binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
		if last == 0 {
			continue
		}
		trip := int32(ntpMiddle(now) - last - delay)
		f.counts.roundTrip.Store(int64(max(trip, 0)) * int64(time.Second) >> 16)
	}
}

// lostSoFar is the cumulative number of packets lost of a report block: 24 bits with a sign, because repeated packets
// count as received. Fewer than none is none.
func lostSoFar(block []byte) uint64 {
	lost := int32(binary.BigEndian.Uint32(block[4:])<<8) >> 8
	return uint64(max(lost, 0))
}

// duration is how long so many ticks of the flow's RTP clock are, in nanoseconds.
func (f *flow) duration(ticks uint32) int64 {
	return int64(ticks) * int64(time.Second) / int64(max(f.Format().Rate, 1))
}

// report sends a sender report, or a receiver report when we sent nothing since the last one.
func (f *flow) report(now time.Time, name []byte) {
	var buf [128 + srtpExtra]byte
	block, have := f.block(now)
	f.out.mu.Lock()
	defer f.out.mu.Unlock()
	o := &f.out
	to := o.path.Load()
	if f.closed.Load() || o.keys == nil || to == nil {
		return
	}
	b := o.sender(buf[:0], now, f.Format().Rate)
	if have {
		b[0]++
		b = append(b, block[:]...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
	b = appendName(b, o.ssrc, name)
	sealed, err := o.keys.EncryptRTCP(nil, b, nil)
	if err != nil {
		f.counts.unsent.Add(1)
		return
	}
	to.write(sealed)
}

// sender begins a report without blocks; its length is filled in later. Guarded by out.mu.
func (o *outbound) sender(b []byte, now time.Time, rate int) []byte {
	active := o.done.packets != o.done.reported
	o.done.reported = o.done.packets
	kind := byte(rtcpReceiver)
	if active {
		kind = rtcpSender
	}
	b = append(b, 2<<6, kind, 0, 0)
	b = binary.BigEndian.AppendUint32(b, o.ssrc)
	if !active {
		return b
	}
	b = binary.BigEndian.AppendUint64(b, ntp(now))
	stamp := o.done.stamp
	if !o.done.at.IsZero() {
		stamp += uint32(now.Sub(o.done.at).Milliseconds() * int64(rate) / 1000)
	}
	b = binary.BigEndian.AppendUint32(b, stamp)
	b = binary.BigEndian.AppendUint32(b, o.done.packets)
	return binary.BigEndian.AppendUint32(b, o.done.octets)
}

// block makes the report block of the peer's audio; have is false while there is none.
func (f *flow) block(now time.Time) (b [reportBlock]byte, have bool) {
	f.in.mu.Lock()
	defer f.in.mu.Unlock()
	in := &f.in
	if !in.measure.Started() {
		return b, false
	}
	r := in.measure.Report()
	binary.BigEndian.PutUint32(b[0:], in.ssrc.Load())
	binary.BigEndian.PutUint32(b[4:], r.TotalLost&0xffffff)
	b[4] = r.FractionLost
	binary.BigEndian.PutUint32(b[8:], r.HighestSequence)
	binary.BigEndian.PutUint32(b[12:], r.Jitter)
	if in.peer.stamp != 0 {
		binary.BigEndian.PutUint32(b[16:], in.peer.stamp)
		binary.BigEndian.PutUint32(b[20:], uint32(now.Sub(in.peer.arrived).Microseconds()*65536/1_000_000))
	}
	return b, true
}

// appendName appends the source description that a compound packet must have, RFC 3550 section 6.5.
func appendName(b []byte, ssrc uint32, name []byte) []byte {
	start := len(b)
	b = append(b, 2<<6|1, rtcpDescription, 0, 0)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	b = append(b, 1, byte(len(name))) // CNAME
	b = append(b, name...)
	b = append(b, 0) // end of items
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16((len(b)-start)/4-1))
	return b
}

// ntp is a time as NTP has it, RFC 3550 section 4.
func ntp(t time.Time) uint64 {
	return uint64(t.Unix()+ntpEpoch)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

func ntpMiddle(t time.Time) uint32 { return uint32(ntp(t) >> 16) }

// reporter sends the reports of all calls on a Net.
type reporter struct {
	mu    sync.Mutex
	calls map[*flow]*schedule
}

// schedule says when a call's next report is due.
type schedule struct {
	name  []byte // canonical name, random as RFC 7022 has it
	next  time.Time
	heard bool // the report on the first packets has been scheduled
}

func newReporter() *reporter { return &reporter{calls: make(map[*flow]*schedule)} }

// add begins to report for a call.
func (r *reporter) add(f *flow, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[f] = &schedule{name: []byte(name), next: time.Now().Add(reportFirst)}
}

func (r *reporter) remove(f *flow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.calls, f)
}

func (r *reporter) run(stop <-chan struct{}) {
	tick := time.NewTicker(reportFirst / 2)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			r.send(now)
		}
	}
}

func (r *reporter) send(now time.Time) {
	type due struct {
		f    *flow
		name []byte
	}
	var list []due
	r.mu.Lock()
	for f, s := range r.calls {
		if !s.heard && f.counts.received.Load() > 0 {
			s.heard = true
			if soon := now.Add(reportFirst); soon.Before(s.next) {
				s.next = soon
			}
		}
		if !now.Before(s.next) {
			s.next = now.Add(reportEvery)
			list = append(list, due{f, s.name})
		}
	}
	r.mu.Unlock()
	for _, d := range list {
		d.f.report(now, d.name)
	}
}
