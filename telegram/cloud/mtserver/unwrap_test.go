package mtserver

import (
	"bytes"
	"compress/zlib"
	"testing"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/mt"
	"github.com/gotd/td/proto"
	"github.com/gotd/td/tg"
)

type wrapped func(*bin.Buffer) error

func (f wrapped) Encode(b *bin.Buffer) error { return f(b) }

func zipped(t *testing.T, e bin.Encoder, gz bool) bin.Encoder {
	t.Helper()
	body := encode(t, e)
	if gz {
		return &proto.GZIP{Data: body}
	}
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	return wrapped(func(b *bin.Buffer) error {
		b.PutID(mt.GzipPackedTypeID)
		b.PutBytes(z.Bytes())
		return nil
	})
}

// object makes an encoder something that gotd lets be wrapped.
func object(t *testing.T, e bin.Encoder) bin.Object { return &rest{body: encode(t, e)} }

func initConnection(t *testing.T, e bin.Encoder) bin.Encoder {
	return &tg.InvokeWithLayerRequest{Layer: 229, Query: &tg.InitConnectionRequest{
		APIID: 17, DeviceModel: "dev", SystemVersion: "sys", AppVersion: "app", SystemLangCode: "en", Params: &tg.JSONObject{}, Query: object(t, e),
	}}
}

func TestWrappers(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	first := p.send(nearest)
	p.nearest(first)
	for name, q := range map[string]bin.Encoder{
		"official": initConnection(t, &tg.InvokeAfterMsgRequest{MsgID: first, Query: object(t, zipped(t, nearest, false))}),
		"inverse":  zipped(t, &tg.InvokeAfterMsgsRequest{MsgIDs: []int64{first}, Query: object(t, initConnection(t, zipped(t, nearest, true)))}, true),
	} {
		p.nearest(p.send(q))
		got, _ := w.api.seen()
		if got.Layer != 229 || got.Init == nil || got.Init.APIID != 17 || got.Init.DeviceModel != "dev" || len(got.After) != 1 || got.NoUpdates {
			t.Fatalf("%s: %+v", name, got)
		}
	}
	p.nearest(p.send(&tg.InvokeWithoutUpdatesRequest{Query: nearest}))
	if got, _ := w.api.seen(); !got.NoUpdates {
		t.Fatal("invokeWithoutUpdates is lost")
	}
	failed := p.send(&tg.HelpGetConfigRequest{})
	p.failure(failed)
	if e := p.failure(p.send(&tg.InvokeAfterMsgRequest{MsgID: failed, Query: nearest})); e.ErrorMessage != "MSG_WAIT_FAILED" {
		t.Fatalf("%+v", e)
	}
	p.nearest(p.send(&tg.InvokeAfterMsgRequest{MsgID: 8, Query: nearest})) // forgotten long ago
	deep := bin.Encoder(nearest)
	for range maxNesting + 1 {
		deep = &tg.InvokeWithoutUpdatesRequest{Query: object(t, deep)}
	}
	if e := p.failure(p.send(deep)); e.ErrorMessage != "INPUT_REQUEST_INVALID" {
		t.Fatalf("%+v", e)
	}
	bomb := zipped(t, wrapped(func(b *bin.Buffer) error { b.Put(make([]byte, maxInflated+1)); return nil }), false)
	if e := p.failure(p.send(bomb)); e.ErrorMessage != "INPUT_REQUEST_INVALID" {
		t.Fatalf("%+v", e)
	}
}
