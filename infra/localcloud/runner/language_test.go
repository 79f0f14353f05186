//go:build machine

package runner_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// languagePlugin is started by `pulumi import`, which asks it for nothing about the program but its plug-ins.
const languagePlugin = "pulumi-language-go"

type language struct {
	pulumirpc.UnimplementedLanguageRuntimeServer
}

func (language) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: "3.256.0"}, nil
}

func (language) GetRequiredPackages(context.Context, *pulumirpc.GetRequiredPackagesRequest) (*pulumirpc.GetRequiredPackagesResponse, error) {
	return &pulumirpc.GetRequiredPackagesResponse{}, nil
}

func asLanguage() int {
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{Init: func(server *grpc.Server) error {
		pulumirpc.RegisterLanguageRuntimeServer(server, language{})
		return nil
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(handle.Port)
	if err := <-handle.Done; err != nil {
		return 1
	}
	return 0
}

// offerLanguage puts this test where the engine looks for the plug-in, and returns the directory.
func (s *paperStack) offerLanguage() string {
	s.t.Helper()
	self, err := os.Executable()
	dir := s.t.TempDir()
	if err := errors.Join(err, os.Symlink(self, filepath.Join(dir, languagePlugin))); err != nil {
		s.t.Fatal(err)
	}
	return dir
}
