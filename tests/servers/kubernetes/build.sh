#!/usr/bin/env bash
# Builds a Kubernetes 1.20 (apiserver, controller manager, scheduler, kubelet, kubectl) and the image
# root of its pause container from Debian's source package into the folder $1. That takes six minutes
# on two cores; nothing is done where it has been built. Needs root, for apt-get.
set -euo pipefail
out=${1:?the folder to build into}
mkdir -p "$out/bin"
out=$(cd "$out" && pwd)
[ -x "$out/bin/kubectl" ] && exit 0
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# Sources come from where this machine has its packages from; its own lists stay as they are.
mkdir -p "$work"/{parts,lists/partial,src,gopath/src/k8s.io}
for file in /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] && sed 's/^Types:.*/Types: deb-src/' "$file" >"$work/parts/$(basename "$file")"
done
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$file" ] && sed -n 's/^deb /deb-src /p' "$file" >"$work/parts/$(basename "$file").list"
done
apt=(-o APT::Sandbox::User=root -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/parts"
     -o Dir::State::lists="$work/lists" -o Dir::Cache::srcpkgcache= -o Dir::Cache::pkgcache=)
apt-get "${apt[@]}" update -qq
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    golang-go gcc libc6-dev dpkg-dev </dev/null >/dev/null
(cd "$work/src" && apt-get "${apt[@]}" source --download-only -qq kubernetes)
tree=$work/gopath/src/k8s.io/kubernetes
mkdir "$tree"
tar xzf "$work"/src/kubernetes_*.orig.tar.gz -C "$tree" --strip-components=1
cd "$tree"
export GO111MODULE=off GOPATH=$work/gopath GOPROXY=off GOFLAGS= GOCACHE=$work/gocache CGO_ENABLED=0

# Debian leaves the generated OpenAPI definitions out, without which the apiserver does not build.
go build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
marked='+k8s:openapi-gen='
unwanted='_test.go|/testdata/|/test/|k8s.io/(code-generator|sample|kube-openapi|gengo)'
staged=$(cd vendor && grep -rl --include='*.go' -e "$marked" $(ls -d k8s.io/*/ | sed 's#/$#/.#') |
    grep -vE "$unwanted" | xargs -n1 dirname | sed 's#/\./#/#; s#/\.$##' | sort -u |
    sed 's#^#k8s.io/kubernetes/vendor/#' | paste -sd,)
own=$(grep -rl --include='*.go' -e "$marked" pkg cmd | grep -vE '_test.go|testdata' |
    xargs -r -n1 dirname | sort -u | sed 's#^#k8s.io/kubernetes/#' | paste -sd,)
"$work/openapi-gen" -O zz_generated.openapi --output-base "$GOPATH/src" \
    --go-header-file hack/boilerplate/boilerplate.generatego.txt \
    --input-dirs "$staged${own:+,$own}" --output-package k8s.io/kubernetes/pkg/generated/openapi \
    --report-filename "$work/violations.txt" >/dev/null 2>&1

version=k8s.io/kubernetes/vendor/k8s.io/component-base/version
for program in kube-apiserver kubelet kube-controller-manager kube-scheduler kubectl; do
    go build -p 2 -o "$work/$program" "./cmd/$program" -ldflags \
        "-s -w -X $version.gitVersion=v1.20.2 -X $version.gitMajor=1 -X $version.gitMinor=20"
done
mv "$work"/kube-apiserver "$work"/kubelet "$work"/kube-controller-manager "$work"/kube-scheduler "$out/bin/"
gcc -Os -static -DVERSION=3.2 -o "$out/bin/pause" build/pause/linux/pause.c
mv "$work/kubectl" "$out/bin/" # last, as its presence says that all is there
echo "Built in $out/bin"
