package voip

import "testing"

func TestCallPerVersion(t *testing.T) {
	for _, version := range everyVersion() {
		t.Run(version, func(t *testing.T) {
			p := newPair(t, pairOptions{version: version})
			p.establish(t)
			p.exchange(t, version)
			for _, s := range []*side{p.caller, p.callee} {
				st := s.Stats()
				if st.SRTPProfile != "SRTP_AEAD_AES_128_GCM" || st.Local != "host" || st.State != Established {
					t.Errorf("stats: %+v", st)
				}
				if st.Media.Strangers != 0 || st.Media.PacketsLost != 0 {
					t.Errorf("media stats: %+v", st.Media)
				}
			}
		})
	}
}
