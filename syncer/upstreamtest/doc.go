// Package upstreamtest is an upstream that lies: a simple index (PEP 503, 691,
// 700, 714, 740, 792) on loopback, with real wheels and sdists that pip can
// install, and a switch for every way in which an upstream or the line to it
// has been seen to fail.
//
//	index := upstreamtest.SampleIndex(1)
//	server := upstreamtest.NewServer(index)
//	if err := server.Start(); err != nil { … }
//	defer server.Close()
//	told := server.Tell(upstreamtest.OnFile("stilton-*.whl"), upstreamtest.CutAfter(1<<20), 3)
//	… fetch from server.IndexURL() …
//	server.Requests().On(upstreamtest.OnFile("stilton-*.whl")).Ranges()
//
// The pieces: Wheel and Sdist build files, Index holds them and can change
// while it is served, Server serves an Index, a Lie bends its answers, and
// Requests say what was asked and what was sent.
//
// The change feed (XML-RPC at /pypi) tells the history of the Index; OnFeed is
// its target.
//
// The package renders JSON, HTML and XML by itself and does not use the codecs of
// storage/pypi, so that a test against it checks those codecs too.
package upstreamtest
