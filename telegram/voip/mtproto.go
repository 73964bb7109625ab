package voip

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/transport/v4/packetio"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// mtprotoName is what Stats.SRTPProfile says where custom parameter network_use_mtproto replaces DTLS-SRTP.
const mtprotoName = "MTProto"

// channelMark is what tells the SCTP packets of the data channel from RTP and RTCP inside the encryption.
const channelMark = "\xdc\xdc\xdc\xdc"

var errNotRTP = errors.New("no rtp packet")

// vault is the encryption of a call whose custom parameters say network_use_mtproto: RTP, RTCP and the SCTP packets of
// the data channel are encrypted with the call's key, and there is neither DTLS nor SRTP. STUN stays outside.
type vault struct {
	flow *flow
	port *vaultPort
	path *atomic.Pointer[path]

	out struct {
		mu     sync.Mutex
		cipher *signaling.MediaCipher
	}
	in struct {
		mu     sync.Mutex
		cipher *signaling.MediaCipher
	}
}

func newVault(key *Key, role Role, f *flow) *vault {
	v := &vault{flow: f, path: &f.out.path}
	v.out.cipher, v.in.cipher = signaling.NewMediaCipher(key, role), signaling.NewMediaCipher(key, role)
	v.port = &vaultPort{vault: v, queue: packetio.NewBuffer()}
	v.port.queue.SetLimitCount(dtlsQueue)
	return v
}

// seal encrypts the n bytes that lie in buf at signaling.MediaRoom. The packet is a part of buf.
func (v *vault) seal(buf []byte, n int) ([]byte, error) {
	v.out.mu.Lock()
	defer v.out.mu.Unlock()
	return v.out.cipher.SealMedia(buf, n)
}

// receive takes a packet that is no STUN and leaves it as it is. It reports whether the packet was this call's.
func (v *vault) receive(b []byte) bool {
	v.in.mu.Lock()
	defer v.in.mu.Unlock()
	records, err := v.in.cipher.OpenMedia(b)
	if err != nil {
		return errors.Is(err, signaling.ErrReplay)
	}
	for payload, ok := records.Next(); ok; payload, ok = records.Next() {
		switch {
		case len(payload) > len(channelMark) && string(payload[:len(channelMark)]) == channelMark:
			v.port.deliver(payload[len(channelMark):])
		case len(payload) > 1 && payload[0]>>6 == 2:
			v.flow.receive(payload)
		default:
			v.flow.stranger()
		}
	}
	return true
}

// secured is what a DTLS handshake would have brought.
func (v *vault) secured() *secured {
	return &secured{conn: v.port, in: clearIn{}, out: &vaultOut{vault: v}, profile: mtprotoName}
}

// clearIn are the keys of packets that the vault has opened already.
type clearIn struct{}

// DecryptRTP implements inKeys: it only reads the header.
func (clearIn) DecryptRTP(_, b []byte, header *rtp.Header) ([]byte, error) {
	if _, err := header.Unmarshal(b); err != nil {
		return nil, errNotRTP
	}
	return b, nil
}

// DecryptRTCP implements inKeys.
func (clearIn) DecryptRTCP(_, b []byte, _ *rtcp.Header) ([]byte, error) { return b, nil }

// vaultOut are the keys of what a flow sends.
type vaultOut struct {
	vault *vault
	buf   [signaling.MediaRoom + maxPacket]byte
}

// EncryptRTP implements outKeys. What it returns is valid until the next packet.
func (o *vaultOut) EncryptRTP(_, b []byte, _ *rtp.Header) ([]byte, error) {
	return o.vault.seal(o.buf[:], copy(o.buf[signaling.MediaRoom:], b))
}

// EncryptRTCP implements outKeys.
func (o *vaultOut) EncryptRTCP(_, b []byte, _ *rtcp.Header) ([]byte, error) {
	return o.EncryptRTP(nil, b, nil)
}

// vaultPort is the connection of the data channel's SCTP association.
type vaultPort struct {
	vault *vault
	queue *packetio.Buffer

	mu  sync.Mutex
	buf [signaling.MediaRoom + maxPacket]byte
}

// deliver queues a copy of a packet; a full queue drops it.
func (p *vaultPort) deliver(b []byte) { _, _ = p.queue.Write(b) }

// Read implements net.Conn: one packet per call.
func (p *vaultPort) Read(b []byte) (int, error) { return p.queue.Read(b) }

// Write implements net.Conn: one packet per call. Without a path, as before ICE has a pair, it is lost and sent again.
func (p *vaultPort) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	to := p.vault.path.Load()
	if to == nil || len(b) > maxPacket-len(channelMark) {
		return len(b), nil
	}
	n := copy(p.buf[signaling.MediaRoom:], channelMark)
	n += copy(p.buf[signaling.MediaRoom+n:], b)
	packet, err := p.vault.seal(p.buf[:], n)
	if err != nil {
		return 0, err
	}
	to.write(packet)
	return len(b), nil
}

// Close implements net.Conn.
func (p *vaultPort) Close() error { return p.queue.Close() }

// LocalAddr implements net.Conn; which address it is means nothing above ICE.
func (p *vaultPort) LocalAddr() net.Addr { return &net.UDPAddr{IP: net.IPv4zero} }

// RemoteAddr implements net.Conn.
func (p *vaultPort) RemoteAddr() net.Addr { return p.LocalAddr() }

// SetDeadline implements net.Conn.
func (p *vaultPort) SetDeadline(t time.Time) error { return p.queue.SetReadDeadline(t) }

// SetReadDeadline implements net.Conn.
func (p *vaultPort) SetReadDeadline(t time.Time) error { return p.queue.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn; writing never waits.
func (p *vaultPort) SetWriteDeadline(time.Time) error { return nil }
