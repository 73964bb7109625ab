// Package trunktest holds what tests of trunks and of their calls share: Run, the conformance suite that every
// bridge.Trunk passes through a Harness of its own, and Trunk, Leg and Flow, scripted fakes for tests of the exchange.
//
// It does not know any protocol, does not judge audio (a flow must come and go, what is heard is the integration
// tests' business), and is not for live code.
package trunktest
