package upstreamtest

import "testing"

func BenchmarkSampleIndex(b *testing.B) {
	for b.Loop() {
		SampleIndex(1)
	}
}
