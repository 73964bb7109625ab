// Package storetest is what every driver of package store must do, as a test suite, and a real Redis server for tests.
//
// It does: Run, the conformance suite; Redis, a server of its own on loopback that can be paused, killed and started
// again, and ends with the test.
//
// It does not: install anything (make deps does), or touch a server that is not its own.
package storetest
