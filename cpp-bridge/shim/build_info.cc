// Who stands behind the bridge. The provider's build script writes provider.h.
#include "engine.h"
#include "provider.h"

namespace bitnet_bridge {

const std::string & system_info() {
    static const std::string text = llama_print_system_info();
    return text;
}

RawBuild build_info() noexcept {
    RawBuild info;
    info.name = PROVIDER_NAME;
    info.profile = PROVIDER_PROFILE;
    info.version = PROVIDER_VERSION;
    info.source = PROVIDER_SOURCE;
    info.flags = PROVIDER_FLAGS;
    info.compiler = PROVIDER_COMPILER;
    info.system_info = rust::String::lossy(system_info());
    return info;
}

}  // namespace bitnet_bridge
