package calls

import "context"

type wantedKey struct{}

// withWanted marks the context of a request that outlives its call with the call's own.
func withWanted(ctx, call context.Context) context.Context {
	return context.WithValue(ctx, wantedKey{}, call)
}

// Wanted returns the context that ends as soon as nobody needs the answer to a request of a Line any more; the
// request's own may live on, because what has been sent must be followed up. An API that waits before it sends goes by
// this one. It is ctx itself where there is no difference.
func Wanted(ctx context.Context) context.Context {
	if call, ok := ctx.Value(wantedKey{}).(context.Context); ok {
		return call
	}
	return ctx
}
