// Command forward publishes the gateway's node ports on the host's loopback: `forward LISTEN=TARGET ...`, all host:port.
//
// It outlives the pods behind the port, which `kubectl port-forward` does not, and needs no rule in the host's firewall.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

const dialTimeout = 5 * time.Second

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: forward LISTEN=TARGET ...   for example 127.0.0.1:8001=10.98.0.2:30801")
		os.Exit(2)
	}
	failed := make(chan error)
	for _, pair := range os.Args[1:] {
		listen, target, ok := strings.Cut(pair, "=")
		if !ok {
			fmt.Fprintf(os.Stderr, "forward: %q is not LISTEN=TARGET\n", pair)
			os.Exit(2)
		}
		listener, err := net.Listen("tcp", listen)
		if err != nil {
			fmt.Fprintln(os.Stderr, "forward:", err)
			os.Exit(1)
		}
		go func() { failed <- serve(listener, target) }()
	}
	fmt.Fprintln(os.Stderr, "forward:", <-failed)
	os.Exit(1)
}

func serve(listener net.Listener, target string) error {
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go relay(client, target)
	}
}

func relay(client net.Conn, target string) {
	defer client.Close()
	server, err := net.DialTimeout("tcp", target, dialTimeout)
	if err != nil {
		return
	}
	defer server.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		copyThenCloseWrite(server, client)
	}()
	copyThenCloseWrite(client, server)
	<-sent
}

// copyThenCloseWrite passes one direction on, its end included, so that half-closed connections stay usable.
func copyThenCloseWrite(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}
