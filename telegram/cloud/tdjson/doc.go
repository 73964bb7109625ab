// Package tdjson drives an official Telegram client library, TDLib's libtdjson.so, to see whether the simulated Telegram is
// good enough for it. For tests only.
//
// It does: put another RSA key into a copy of the library, load it without cgo, send requests and wait for what comes back.
// It does not bring the library: that is given by its path.
package tdjson
