package services

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sort"
	"time"

	"townsquare/infra/localcloud/network"
)

// ForwardAddress is where a browser on this computer reaches the cloud's first
// machine, if that was asked for. It is a loopback address of its own, so it
// takes nobody's port.
const ForwardAddress = "127.0.0.77"

// forward passes connections from this computer to the cloud's public address.
func forward(cloud *network.Cloud) (stop func(), err error) {
	var listeners []net.Listener
	stop = func() {
		for _, l := range listeners {
			l.Close()
		}
	}
	for _, port := range []string{"80", "443"} {
		listener, err := net.Listen("tcp", net.JoinHostPort(ForwardAddress, port))
		if err != nil {
			stop()
			return nil, fmt.Errorf("forward from this computer: %w", err)
		}
		listeners = append(listeners, listener)
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go forwardOne(cloud, conn, port)
			}
		}()
	}
	return stop, nil
}

func forwardOne(cloud *network.Cloud, near net.Conn, port string) {
	defer near.Close()
	target, ok := publicAddress(cloud)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	far, err := cloud.DialContext(ctx, "tcp", net.JoinHostPort(target.String(), port))
	if err != nil {
		return
	}
	defer far.Close()
	done := make(chan struct{}, 2)
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		if half, ok := to.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
		done <- struct{}{}
	}
	go pass(far, near)
	go pass(near, far)
	<-done
	<-done
}

// publicAddress is the first reserved address that leads to a machine, else
// the first machine's own.
func publicAddress(cloud *network.Cloud) (netip.Addr, bool) {
	state, err := cloud.State()
	if err != nil {
		return netip.Addr{}, false
	}
	var candidates []netip.Addr
	for address, r := range state.Reserved {
		if a, err := netip.ParseAddr(address); err == nil && r.Machine != "" {
			candidates = append(candidates, a)
		}
	}
	if len(candidates) == 0 {
		for _, m := range state.Machines {
			candidates = append(candidates, m.Address)
		}
	}
	if len(candidates) == 0 {
		return netip.Addr{}, false
	}
	sort.Slice(candidates, func(i, j int) bool { return candidates[i].Less(candidates[j]) })
	return candidates[0], true
}
