package voip

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
	"github.com/pion/transport/v4/packetio"
)

const (
	dtlsFlight   = 250 * time.Millisecond // first retransmission; doubled by pion
	dtlsQueue    = 64                     // records waiting to be read
	replayWindow = 128                    // packets, both for SRTP and SRTCP
)

// dtlsPort is the net.PacketConn under the DTLS association: records in from whatever path they took, records out on
// the path of the media.
type dtlsPort struct {
	queue *packetio.Buffer
	path  *atomic.Pointer[path]
	done  atomic.Bool // handshake completed
}

func newDTLSPort(p *atomic.Pointer[path]) *dtlsPort {
	d := &dtlsPort{queue: packetio.NewBuffer(), path: p}
	d.queue.SetLimitCount(dtlsQueue)
	return d
}

// deliver queues a copy of a record; a full queue drops it.
func (d *dtlsPort) deliver(b []byte) { _, _ = d.queue.Write(b) }

// ReadFrom implements net.PacketConn.
func (d *dtlsPort) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := d.queue.Read(b)
	return n, d.LocalAddr(), err
}

// WriteTo implements net.PacketConn. Without a path, as during an ICE restart, the record is lost and sent again.
func (d *dtlsPort) WriteTo(b []byte, _ net.Addr) (int, error) {
	if p := d.path.Load(); p != nil {
		p.write(b)
	}
	return len(b), nil
}

// Close implements net.PacketConn.
func (d *dtlsPort) Close() error { return d.queue.Close() }

// LocalAddr implements net.PacketConn; which address it is means nothing above ICE.
func (d *dtlsPort) LocalAddr() net.Addr { return &net.UDPAddr{IP: net.IPv4zero} }

// SetDeadline implements net.PacketConn.
func (d *dtlsPort) SetDeadline(t time.Time) error { return d.queue.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (d *dtlsPort) SetReadDeadline(t time.Time) error { return d.queue.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn; writing never waits.
func (d *dtlsPort) SetWriteDeadline(time.Time) error { return nil }

// secured is a completed DTLS association with what it yields for SRTP, or what takes its place.
type secured struct {
	conn    net.Conn // under the data channel
	in      inKeys
	out     outKeys
	profile string
}

// shake performs the DTLS handshake, RFC 5764. Both sides must show a certificate; the peer's must be the one it
// signalled.
func shake(ctx context.Context, port *dtlsPort, client bool, id *identity, peer fingerprint, log *slog.Logger) (*secured, error) {
	options := []dtls.Option{
		dtls.WithCertificates(id.certificate),
		dtls.WithSRTPProtectionProfiles(srtpProfiles()...),
		dtls.WithInsecureSkipVerify(true), // no chain to verify: the fingerprint says it all
		dtls.WithVerifyPeerCertificate(func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 || !peer.matches(raw[0]) {
				return ErrFingerprint
			}
			return nil
		}),
		dtls.WithFlightInterval(dtlsFlight),
		dtls.WithLoggerFactory(pionLogs{log}),
	}
	conn, err := dtlsConn(port, client, options)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDTLS, err)
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		if errors.Is(err, ErrFingerprint) {
			return nil, ErrFingerprint
		}
		return nil, fmt.Errorf("%w: %w", ErrDTLS, err)
	}
	port.done.Store(true)
	s, err := keysOf(conn, client)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%w: %w", ErrDTLS, err)
	}
	return s, nil
}

func dtlsConn(port *dtlsPort, client bool, shared []dtls.Option) (*dtls.Conn, error) {
	if client {
		var options []dtls.ClientOption
		for _, o := range shared {
			options = append(options, o)
		}
		return dtls.ClientWithOptions(port, port.LocalAddr(), options...)
	}
	options := []dtls.ServerOption{dtls.WithClientAuth(dtls.RequireAnyClientCert)}
	for _, o := range shared {
		options = append(options, o)
	}
	return dtls.ServerWithOptions(port, port.LocalAddr(), options...)
}

// srtpProfiles are the protection profiles in the order of our preference: AES-GCM costs a quarter of AES-CM.
func srtpProfiles() []dtls.SRTPProtectionProfile {
	return []dtls.SRTPProtectionProfile{
		dtls.SRTP_AEAD_AES_128_GCM,
		dtls.SRTP_AEAD_AES_256_GCM,
		dtls.SRTP_AES128_CM_HMAC_SHA1_80,
	}
}

func profileName(p dtls.SRTPProtectionProfile) string {
	switch p {
	case dtls.SRTP_AEAD_AES_128_GCM:
		return "SRTP_AEAD_AES_128_GCM"
	case dtls.SRTP_AEAD_AES_256_GCM:
		return "SRTP_AEAD_AES_256_GCM"
	case dtls.SRTP_AES128_CM_HMAC_SHA1_80:
		return "SRTP_AES128_CM_HMAC_SHA1_80"
	}
	return fmt.Sprintf("%#04x", uint16(p))
}

// keysOf derives the SRTP contexts, RFC 5764 section 4.2.
func keysOf(conn *dtls.Conn, client bool) (*secured, error) {
	chosen, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return nil, errors.New("peer supports none of our srtp profiles")
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return nil, errors.New("no connection state")
	}
	c := srtp.Config{Profile: srtp.ProtectionProfile(chosen)}
	if err := c.ExtractSessionKeysFromDTLS(&state, client); err != nil {
		return nil, fmt.Errorf("derive srtp keys: %w", err)
	}
	in, err := srtp.CreateContext(c.Keys.RemoteMasterKey, c.Keys.RemoteMasterSalt, c.Profile,
		srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow))
	if err != nil {
		return nil, fmt.Errorf("make srtp context: %w", err)
	}
	out, err := srtp.CreateContext(c.Keys.LocalMasterKey, c.Keys.LocalMasterSalt, c.Profile)
	if err != nil {
		return nil, fmt.Errorf("make srtp context: %w", err)
	}
	return &secured{conn: conn, in: in, out: out, profile: profileName(chosen)}, nil
}
