package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// Nobody begins to read, and to hide what is typed, once the command has ended: nothing would show it again.
func TestNothingIsReadAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		read := 0
		_, err := awaitInput(ctx, func() (string, error) { read++; return "", nil })
		synctest.Wait()
		if !errors.Is(err, context.Canceled) || read != 0 {
			t.Errorf("%v, %d readers", err, read)
		}
	})
}
