// Who stands behind the bridge. The provider's build script writes provider.h.
#include "engine.h"
#include "provider.h"

namespace bitnet_bridge {

RawBuild build_info() {
    RawBuild info;
    info.name = PROVIDER_NAME;
    info.version = PROVIDER_VERSION;
    info.source = PROVIDER_SOURCE;
    info.flags = PROVIDER_FLAGS;
    info.compiler = PROVIDER_COMPILER;
    info.system_info = rust::String::lossy(std::string(llama_print_system_info()));
    return info;
}

}  // namespace bitnet_bridge
